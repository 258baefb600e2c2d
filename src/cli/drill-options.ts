/** What `rawtcp drill` takes from the command line. */
import type { Argv } from "yargs";
import { NAMESPACE } from "../driver/live-host.js";
import { PROFILES, type ProfileName } from "../tcp/profiles.js";
import { oneOf, wholeNumber, words } from "./values.js";

export interface DrillOptions {
  paths: readonly string[];
  seed: number;
  profile: ProfileName | undefined;
  strict: boolean;
  tolerant: boolean;
  echoes: boolean;
  json: boolean;
  junit: string | undefined;
  keepTrace: string | undefined;
  jobs: number | undefined;
  quiet: boolean;
  option: readonly string[] | string | undefined;
  live: string | undefined;
  livePort: number | undefined;
  liveSeconds: number;
  allowRemote: boolean;
}

const PROFILE_NAMES = Object.keys(PROFILES) as ProfileName[];

export function drillOptions(argv: Argv): Argv<DrillOptions> {
  const own = argv
    .positional("paths", { type: "string", array: true, demandOption: true, describe: "scripts (*.pkt), or folders with such" })
    .option("seed", {
      default: 1,
      requiresArg: true,
      coerce: wholeNumber("--seed", 0, 0xffff_ffff),
      describe: "of initial sequence numbers and ports",
    })
    .option("profile", {
      choices: PROFILE_NAMES,
      coerce: oneOf("--profile", PROFILE_NAMES),
      describe:
        "behave as Linux does, as FreeBSD, or as the RFCs plainly say (default: what the script itself tells, else linux)",
    })
    .option("strict", {
      type: "boolean",
      default: false,
      describe: "a packet that the script does not expect is a failure, also within ten seconds after its end",
    })
    .option("tolerant", {
      type: "boolean",
      default: false,
      describe: "look past the order of options, padding and the window; what passes only so is told and counted apart",
    })
    .option("echoes", {
      type: "boolean",
      default: false,
      describe: "compare what timestamps echo, which packetdrill does not (so does --strict)",
    })
    .option("option", {
      type: "string",
      requiresArg: true,
      describe:
        'an option line for every script, such as ip_version=ipv6 or "-D NAME=value", in place of its own; may be given again. packetdrill\'s options are taken by their own names too: --ip_version=ipv6 --tolerance_usecs=10000 -D NAME=value',
    })
    .option("live", {
      type: "string",
      requiresArg: true,
      coerce: words("--live", `"${NAMESPACE}", name or address`),
      describe: `against a live kernel: "${NAMESPACE}" is this host's, in a network namespace of its own for each script; or a name or address of this host, or with --allow-remote of another`,
    })
    .option("live-port", {
      requiresArg: true,
      coerce: wholeNumber("--live-port", 1, 65_535),
      describe: "the server's port at another host's kernel (default: 8080)",
    })
    .option("live-seconds", {
      default: 60,
      requiresArg: true,
      coerce: wholeNumber("--live-seconds", 1, 86_400),
      describe: "scripts that take longer on the clock are not run live",
    })
    .option("allow-remote", { type: "boolean", default: false, describe: "allow kernels beyond this host" })
    .option("json", { type: "boolean", default: false, describe: "one JSON object a script" })
    .option("junit", {
      type: "string",
      requiresArg: true,
      coerce: words("--junit", "file name"),
      describe: "write a JUnit report",
    })
    .option("keep-trace", {
      type: "string",
      requiresArg: true,
      coerce: words("--keep-trace", "folder"),
      describe: "write a pcapng of each script into this folder",
    })
    .option("jobs", {
      alias: "j",
      requiresArg: true,
      coerce: wholeNumber("--jobs", 1, 256),
      describe: "scripts at the same time (default: one a processor; live, where most of the time is waiting, 16)",
    })
    .option("quiet", { alias: "q", type: "boolean", default: false, describe: "only the table" })
    .example("$0 drill scripts/", "run every script below the folder, and sum up by folder")
    .example("$0 drill --strict close.pkt", "one script, and no packet that it does not know")
    .example("$0 drill --live namespace scripts/", "against this host's kernel, in network namespaces that end with the scripts")
    .example("$0 drill scripts/ --junit report.xml --keep-trace traces", "for a build server")
    .epilogue(
      "Scripts are in packetdrill's language, and run on our stack in virtual time: no rights, no network. With --live they run against a kernel in real time, and need root. Verdicts: pass; fail; unsupported, with the feature that is missing; error for what is no script. Exit codes: 0 all passed, 1 any failed or cannot be read, 2 wrong command line, 3 none failed but some are not supported.",
    );
  return own as unknown as Argv<DrillOptions>;
}
