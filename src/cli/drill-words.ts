/**
 * The command line of `rawtcp drill` as runners of packetdrill write it: its own options by their own names, each of which becomes an
 * option line of every script.
 */

/** packetdrill's options that take a value, those of its ports included. */
const WITH_VALUE: ReadonlySet<string> = new Set(
  (
    "ip_version bind_port code_command code_format code_sockopt connect_port remote_ip local_ip gateway_ip netmask_ip speed mss mtu " +
    "init_scripts tolerance_usecs tolerance_percent wire_server_ip wire_server_at wire_server_port wire_client_dev wire_server_dev " +
    "so_filename so_flags fm_filename tcp_ts_tick_usecs non_fatal define tun_dev persistent_tun_dev udp_encaps prefix_len"
  ).split(" "),
);
const WITHOUT_VALUE: ReadonlySet<string> = new Set(
  "tcp_ts_ecr_scaled strict_segments dry_run is_anyip send_omit_free debug verbose no_cleanup wire_client wire_server".split(" "),
);

/** The words with packetdrill's options as `--option NAME=VALUE`; those of other commands stay as they are. */
export function drillWords(words: readonly string[]): string[] {
  if (words[0] !== "drill") return [...words];
  const found: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    const [, name = "", value] = /^--(\w+)(?:=(.*))?$/s.exec(word) ?? [];
    const definition = /^-D(.*)$/s.exec(word)?.[1];
    if (definition !== undefined) found.push(`--option=-D ${definition === "" ? (words[++i] ?? "") : definition.trim()}`);
    else if (word === "-v") found.push("--option=verbose");
    else if (WITHOUT_VALUE.has(name) && value === undefined) found.push(`--option=${name}`);
    else if (WITH_VALUE.has(name)) {
      const given = value ?? words[++i] ?? "";
      found.push(name === "define" ? `--option=-D ${given}` : `--option=${name}=${given}`);
    } else found.push(word);
  }
  return found;
}
