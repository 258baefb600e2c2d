/** What `rawtcp capture` takes from the command line: tcpdump's habits. */
import type { Argv } from "yargs";
import { EXIT_HELP } from "./exit-codes.js";
import { wholeNumber, words } from "./values.js";

export interface CaptureOptions {
  /** The command's name and the filter's words. */
  _: (string | number)[];
  interface: string;
  /** A file to read, "-" for standard input. */
  read: string | undefined;
  /** A file to write, "-" for standard output. */
  write: string | undefined;
  /** Packets; 0 is without end. */
  count: number;
  /** Bytes kept of a packet. */
  snaplen: number;
  promiscuous: boolean;
  p: boolean | undefined;
  /** How often -t was given: 0 time of day, 1 none, 2 seconds since 1970, 3 since the last, 4 with date, 5 since the first. */
  t: number;
  nano: boolean;
  number: boolean;
  verbose: number;
  e: boolean;
  x: number;
  X: number;
  A: boolean;
  q: boolean;
  json: boolean;
}

/** The filter, "" for none. */
export function filterOf(options: CaptureOptions): string {
  return options._.slice(1).join(" ");
}

const SOURCE = "Where packets come from:";
const OUTPUT = "What is shown:";

export function captureOptions(argv: Argv): Argv<CaptureOptions> {
  const flag = (group: string, describe: string) => ({ group, type: "boolean", default: false, describe }) as const;
  const counted = (describe: string) => ({ group: OUTPUT, type: "count", describe }) as const;
  return (
    argv
      .usage(
        "$0 capture [options] [filter]\n\nShow or save packets, live or from a file, as tcpdump does. The filter is in libpcap's language: man pcap-filter.",
      )
      // The filter's words are read from what is left over: declared, only the last of them would stay, as of an option given twice.
      .strict(false)
      .strictOptions()
      .options({
        interface: {
          alias: "i",
          group: SOURCE,
          requiresArg: true,
          default: "any",
          coerce: words("-i", "interface"),
          describe: "the interface, or any for all",
        },
        read: {
          alias: "r",
          group: SOURCE,
          requiresArg: true,
          coerce: words("-r", "file name"),
          describe: "read a file, pcap or pcapng, gzip too; - is standard input",
        },
        count: {
          alias: "c",
          group: SOURCE,
          requiresArg: true,
          default: 0,
          defaultDescription: "no end",
          coerce: wholeNumber("-c", 0, Number.MAX_SAFE_INTEGER),
          describe: "end after so many packets",
        },
        snaplen: {
          alias: "s",
          group: SOURCE,
          requiresArg: true,
          default: 262_144,
          coerce: wholeNumber("-s", 0, 262_144),
          describe: "keep so many bytes of a packet (0: all)",
        },
        promiscuous: {
          group: SOURCE,
          type: "boolean",
          default: true,
          describe: "packets for other stations, too; --no-promiscuous or -p: not",
        },
        p: { group: SOURCE, type: "boolean", hidden: true },
        write: {
          alias: "w",
          group: OUTPUT,
          requiresArg: true,
          coerce: words("-w", "file name"),
          describe: "write a pcapng file and show nothing; - is standard output",
        },
        t: counted(
          "-t no time, -tt seconds since 1970, -ttt since the packet before, -tttt with the date, -ttttt since the first",
        ),
        nano: flag(OUTPUT, "times in nanoseconds"),
        number: { ...flag(OUTPUT, "number the packets"), alias: "#" },
        verbose: { ...counted("every field of every header"), alias: "v" },
        e: flag(OUTPUT, "the link header"),
        x: counted("-x the packet in hexadecimal, -xx with its link header"),
        X: counted("-X in hexadecimal and ASCII, -XX with the link header"),
        A: flag(OUTPUT, "the packet in ASCII"),
        q: flag(OUTPUT, "of TCP the endpoints and the length only"),
        json: flag(OUTPUT, "one JSON object a packet"),
        n: { ...flag(OUTPUT, "names are never resolved: accepted for the habit, as are -l and -U"), alias: ["l", "U"] },
      })
      .example("$0 capture -i lo tcp port 80", "what passes on loopback, until Ctrl-C")
      .example("$0 capture -c 100 -w file.pcapng", "a hundred packets of all interfaces, into a file")
      .example("$0 capture -r file.pcap.gz -v 'tcp[tcpflags] & tcp-syn != 0'", "every field of the SYNs in a file")
      .example("$0 capture -i eth0 -w - tcp | wireshark -k -i -", "look at it while it comes")
      .epilogue(
        `Sequence numbers are shown as they stand in the headers. Ctrl-C ends a capture with its counts and exit code 0. A damaged file is read as far as it goes: exit code 1. ${EXIT_HELP}`,
      ) as unknown as Argv<CaptureOptions>
  );
}
