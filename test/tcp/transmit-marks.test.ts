/** Marks in the stream of sent data. */
import { describe, expect, it } from "vitest";
import type { Tcb } from "../../src/tcp/tcb.js";
import { TransmitMarks } from "../../src/tcp/transmit-marks.js";

/** Only what marks look at; the numbers wrap. */
function at(nxt: number, una: number): Tcb {
  return { snd: { nxt: nxt >>> 0, una: una >>> 0 } } as unknown as Tcb;
}

function marked(...ends: number[]): { readonly marks: TransmitMarks; readonly told: string[] } {
  const marks = new TransmitMarks();
  const told: string[] = [];
  for (const end of ends) {
    marks.add({
      end: end >>> 0,
      left: (_tcb, now) => told.push(`${end} left at ${now}`),
      acknowledged: (_tcb, now) => told.push(`${end} acknowledged at ${now}`),
    });
  }
  return { marks, told };
}

describe("marks", () => {
  it("are told once when all up to them has left, and once when it is acknowledged", () => {
    const { marks, told } = marked(-5, 5, 15);
    marks.noteSent(at(-6, -10), 1);
    expect(told).toEqual([]);
    marks.noteSent(at(7, -10), 2);
    marks.noteSent(at(7, -10), 3);
    expect(told.splice(0)).toEqual(["-5 left at 2", "5 left at 2"]);
    marks.noteAcknowledged(at(7, 4), 4);
    expect(told.splice(0)).toEqual(["-5 acknowledged at 4"]);
    marks.noteSent(at(15, 4), 5);
    marks.noteAcknowledged(at(15, 15), 6);
    expect(told).toEqual(["15 left at 5", "5 acknowledged at 6", "15 acknowledged at 6"]);
  });

  it("are all released when the connection is over, what has not left too", () => {
    const { marks, told } = marked(1, 2);
    marks.noteSent(at(1, 0), 1);
    marks.releaseAll(at(1, 0), 2);
    marks.noteSent(at(2, 0), 3);
    expect(told).toEqual(["1 left at 1", "1 acknowledged at 2", "2 acknowledged at 2"]);
  });
});
