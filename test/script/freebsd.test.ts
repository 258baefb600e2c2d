/** FreeBSD's dialect: how it is told, and what its sysctls do. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import { profileOfScript, textForProfile } from "../../src/script/dialect.js";
import { parseScript } from "../../src/script/parser.js";
import { readCommand } from "../../src/script/sysctl.js";
import { ACCEPTED, judge, told } from "./support.js";

const profileOf = (text: string) => profileOfScript(parseScript(text));

describe("for which system a script was written", () => {
  it.each([
    ["a sysctl of net.inet", "`sysctl -w net.inet.tcp.rfc1323=1`"],
    ["a sysctl of net.inet6", "0 `sysctl net.inet6.ip6.hlim=64`"],
    ["a sysctl of kern.ipc", "0 `sysctl -w kern.ipc.maxsockbuf=2097152`"],
    ["a kernel module", "0 `kldload -n tcp_rack`"],
    ["a socket option", "0 setsockopt(3, IPPROTO_TCP, TCP_NOPUSH, [1], 4) = 0"],
    ["a flag inside an expression", "0 send(3, ..., 10, MSG_EOF | MSG_DONTWAIT) = 10"],
    ["the order of the options of a SYN", "0 > S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 1 ecr 0>"],
    ["the name of a state", "0 %{ assert tcpi_state == TCPI_LAST_ACK }%"],
    ["their padding", "0 > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,eol,eol>"],
  ])("%s tells FreeBSD", (_what, text) => {
    expect(profileOf(text)).toBe("freebsd");
  });

  it.each([
    ["Linux's order", "0 > S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 6>"],
    [
      "Linux's order, whatever states are called",
      "0 > S 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 6>\n0 %{ assert tcpi_state == TCPI_CLOSED }%",
    ],
    ["names of Linux in code", "0 %{ assert tcpi_ca_state == TCP_CA_Open and tcpi_options == TCPI_OPT_SACK }%"],
    ["any options", "0 > S 0:0(0) <...>"],
    ["options that a peer has", "0 < S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 1 ecr 0>"],
    ["a second SYN's", "0 > S 0:0(0) <mss 1460>\n0 > S 0:0(0) <mss 1460,nop,wscale 6,sackOK,eol,eol>"],
    ["a sysctl of Linux", "0 `sysctl -q net.ipv4.tcp_sack=0`"],
    ["a text that looks like an option", '0 write(3, "TCP_NOPUSH", 10) = 10'],
  ])("%s tells nothing", (_what, text) => {
    expect(profileOf(text)).toBeUndefined();
  });

  const syn = "+0 > S. 0:0(0) ack 1 <mss 1460,nop,wscale 6,sackOK,eol,eol>";
  const script = `${ACCEPTED.slice(0, ACCEPTED.indexOf("  +0 <"))} +0 < S 0:0(0) win 9 <mss 1460,nop,wscale 6,sackOK,eol,eol>\n${syn}`;

  it("the verdict says as what the stack behaved", () => {
    expect(judge(script)).toMatchObject({ outcome: "pass", profile: "freebsd" });
    expect(judge(ACCEPTED)).toMatchObject({ outcome: "pass", profile: "linux" });
  });

  it("what was asked for by name comes before what the script tells", () => {
    expect(judge(script, { profile: "linux" })).toMatchObject({ outcome: "fail", profile: "linux" });
    expect(judge(ACCEPTED, { profile: "freebsd" })).toMatchObject({ outcome: "pass", profile: "freebsd" });
  });
});

describe("parts of a script for one system", () => {
  const script = `#ifdef FreeBSD
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
#endif
#ifdef Linux
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
#endif
+0 close(9) = 0`;

  it("FreeBSD's are taken, if there are any", () => {
    const { text, profile } = textForProfile(script);
    expect(profile).toBe("freebsd");
    expect(text).toContain(") = 3");
    expect(text).not.toContain(") = 4");
    expect(told(judge(script))).toBe("fail 7: close returned -1 EBADF");
  });

  it("Linux's, where that was asked for, and the lines keep their numbers", () => {
    const { text, profile } = textForProfile(script, "linux");
    expect(profile).toBe("linux");
    expect(text).toContain(") = 4");
    expect(text).not.toContain(") = 3");
    expect(text.split("\n")).toHaveLength(7);
  });

  it("without such parts a text stays as it is", () => {
    expect(textForProfile("# a remark\n0 close(3) = 0")).toEqual({ text: "# a remark\n0 close(3) = 0" });
  });
});

describe("FreeBSD's sysctls", () => {
  const tcp = (text: string) => readCommand(`sysctl -w net.inet.tcp.${text}`).connection;

  it.each([
    ["rfc1323=0", { timestamps: false, windowScaling: false }],
    ["rfc1323=1", { timestamps: true, windowScaling: true }],
    ["rfc1323=2", { timestamps: false, windowScaling: true }],
    ["rfc1323=3", { timestamps: true, windowScaling: false }],
    ["delacktime=100", { delayedAckUs: 100 * MILLISECOND }],
    ["delayed_ack=0", { delayedAckUs: 0 }],
    ["delayed_ack=1", {}],
    ["ecn.enable=1", { ecn: "on" }],
    ["keepinit=5000", { synTimeoutUs: 5 * SECOND }],
    ["rexmit_min=30", { rtoMinUs: 30 * MILLISECOND }],
    ["rexmit_slop=0", { rtoSlopUs: 0 }],
    ["initcwnd_segments=4", { initialWindowSegments: 4, initialWindowBytes: 5840 }],
    ["initcwnd_segments=0", { initialWindowSegments: 4, initialWindowBytes: 4380 }],
    ["fast_finwait2_recycle=1", { finWait2Us: 60 * SECOND }],
    ["finwait2_timeout=2000", {}],
    ["fast_finwait2_recycle=1 net.inet.tcp.finwait2_timeout=2000", { finWait2Us: 2 * SECOND }],
    ["syncache.rexmtlimit=1", { synAckRetries: 1 }],
    ["mssdflt=512", { defaultPeerMss: 512 }],
    ["functions_default=rack", { rack: true, tailLossProbe: true }],
    ["hostcache.enable=0", {}],
    ["sack.maxholes=5", {}],
  ])("net.inet.tcp.%s", (text, changes) => {
    expect(tcp(text)).toEqual(changes);
  });

  it.each([
    ["nothing_of_the_kind=1", "sysctl net.inet.tcp.nothing_of_the_kind"],
    ["ecn.enable=9", "sysctl net.inet.tcp.ecn.enable=9"],
    ["rfc3042=0", "sysctl net.inet.tcp.rfc3042=0"],
    ["functions_default=bbr", "the TCP stack bbr"],
    ["cc.algorithm=vegas", "the congestion control vegas"],
    ["udp_tunneling_port=9899", "sysctl net.inet.tcp.udp_tunneling_port=9899"],
  ])("net.inet.tcp.%s is reported by its name", (text, feature) => {
    expect(() => tcp(text)).toThrow(expect.objectContaining({ feature }));
  });

  it("changes of the whole stack", () => {
    const stack = (text: string) => readCommand(`sysctl net.inet.tcp.${text}`).stack;
    expect(stack("syncookies=0")).toEqual({ synCookies: "off" });
    expect(stack("syncookies_only=1")).toEqual({ synCookies: "always" });
    expect(stack("blackhole=1")).toEqual({ closedPorts: "silent-to-syn" });
    expect(stack("blackhole=2")).toEqual({ closedPorts: "silent" });
    expect(stack("blackhole=0")).toEqual({ closedPorts: "reset" });
  });

  it("of other trees what shows in segments counts, the rest is taken", () => {
    expect(readCommand("sysctl kern.ipc.maxsockbuf=65535 net.inet.ip.ttl=9 kern.hz=100").connection).toEqual({
      scaleForBytes: 65_535,
      ttl: 9,
    });
  });

  it("output that is sent elsewhere, and names that are only printed, are no values", () => {
    expect(readCommand("sysctl net.inet.tcp.msl=500 > /dev/null 2>&1").connection).toEqual({ mslUs: 500 * MILLISECOND });
    expect(readCommand("sysctl net.inet.tcp.msl").connection).toEqual({});
  });

  it("one that is not known makes the script unsupported", () => {
    expect(told(judge("`sysctl net.inet.tcp.no_such=1`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3"))).toBe(
      "unsupported 2: sysctl net.inet.tcp.no_such",
    );
  });
});
