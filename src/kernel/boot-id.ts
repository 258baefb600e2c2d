/** The random number that the kernel drew at its start: the same for every process until the next. */
import { readFileSync } from "node:fs";

/** Its 128 bits as four words; zeros where the kernel does not tell. Any local user may read it: no secret. */
export function readBootId(): [number, number, number, number] {
  try {
    const hex = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").replace(/[^0-9a-f]/g, "");
    const word = (at: number): number => Number.parseInt(hex.slice(at * 8, at * 8 + 8), 16) >>> 0;
    return [word(0), word(1), word(2), word(3)];
  } catch {
    return [0, 0, 0, 0];
  }
}
