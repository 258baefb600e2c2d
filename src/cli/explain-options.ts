/** What `rawtcp explain` takes from the command line. */
import type { Argv } from "yargs";
import { EXIT_HELP } from "./exit-codes.js";
import { wholeNumber, words } from "./values.js";

export interface ExplainCliOptions {
  /** A file name, "-" for standard input. */
  file: string;
  json: boolean;
  summary: boolean;
  /** The number of the one to show. */
  connection: number | undefined;
  /** Segments drawn and incidents listed of a connection, 0 for all. */
  limit: number;
  /** Columns of the ladder. */
  width: number | undefined;
  /** How often -v was given. */
  verbose: number;
}

export function explainOptions(argv: Argv): Argv<ExplainCliOptions> {
  return argv
    .positional("file", {
      demandOption: true,
      // yargs hands on a lone - as true.
      coerce: (typed: unknown) => (typed === true ? "-" : words("FILE", "file name")(typed)),
      describe: "a pcap or pcapng file, also gzipped; - is standard input",
    })
    .option("connection", {
      alias: "n",
      requiresArg: true,
      coerce: wholeNumber("--connection", 1, 65_536),
      describe: "show this connection, by its number in the list",
    })
    .option("summary", { type: "boolean", default: false, describe: "what became of each connection, without the ladder" })
    .option("json", { type: "boolean", default: false, describe: "JSON Lines: the capture, then a line for each connection" })
    .option("limit", {
      default: 200,
      requiresArg: true,
      coerce: wholeNumber("--limit", 0, 100_000_000),
      describe: "segments drawn and incidents listed of a connection, the first half and the last; 0 for all",
    })
    .option("width", {
      requiresArg: true,
      coerce: wholeNumber("--width", 100, 160),
      describe: "columns of the ladder, 100-160 (default: the terminal's, else 120)",
    })
    .option("verbose", { alias: "v", type: "count", describe: "all options of every segment" })
    .example("$0 explain trace.pcapng", "the ladder of the one connection, or the list of them")
    .example("$0 explain trace.pcap.gz --connection 3", "the third one")
    .example("tcpdump -w - port 80 | $0 explain - --summary", "how each was opened and closed, what was lost, RTT and goodput")
    .example("$0 explain trace.pcap --json | jq .close.name", "for programs")
    .epilogue(EXIT_HELP) as unknown as Argv<ExplainCliOptions>;
}
