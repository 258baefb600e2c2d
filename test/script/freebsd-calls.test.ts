/** What nplab's packetdrill for FreeBSD has of its own: packets, system calls, socket options and their numbers. */
import { describe, expect, it } from "vitest";
import { judge as judgeWith, told } from "./support.js";

const judge = (text: string): string => told(judgeWith(text, { profile: "freebsd" }));

const SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n";
const LISTENING = `${SOCKET}+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n`;
const HANDSHAKE = `+0 < S 0:0(0) win 65535 <mss 1460>
+0 > S. 0:0(0) ack 1 win 65535 <mss 1460>
+0 < . 1:1(0) ack 1 win 65535\n`;
const OPEN = `${LISTENING}${HANDSHAKE}+0 accept(3, ..., ...) = 4\n`;

describe("packets as nplab's grammar has them", () => {
  it("what ICMP quotes stands before it", () => {
    const script = (mtu: number, length: number): string => `${OPEN}+0 write(4, ..., 1460) = 1460
+0 > P. 1:1461(1460) ack 1
+0 < [1:1461(1460)] icmp unreachable frag_needed mtu ${mtu}
+0 > . 1:${length + 1}(${length}) ack 1`;
    expect(judge(script(1200, 1160))).toBe("pass");
    expect(judge(script(1200, 1161))).toMatch(/^fail 11: length is 1160/);
    expect(judge(`${OPEN}+0 < [udp(100)] icmp unreachable port_unreachable`)).toBe("pass");
  });

  it("a sequence number with ! is that of the wire", () => {
    const reset = (seq: string): string => `${LISTENING}+0 < S 7:7(0) win 65535 <mss 1460>
+0 > S. 0:0(0) ack 8 <...>
+0 < ${seq} win 65535`;
    expect(judge(`${reset(". 8:8(0)! ack 1")}\n+0 accept(3, ..., ...) = 4`)).toBe("pass");
    expect(judge(`${reset(". 1:1(0) ack 1")}\n+0 accept(3, ..., ...) = 4`)).toBe("pass");
    const stray = "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+0 < R. 1:1(0) ack 2 win 0\n+0 < . 1:1(0) ack 1 win 9";
    expect(judge(`${OPEN}${stray}\n+0 > R 1:1(0)`)).toBe("pass");
    expect(judge(`${OPEN}${stray}\n+0 > R 1:1(0)!`)).toMatch(/^fail 12: sequence number is \d{3,}, expected 1 /);
  });

  it("... stands for any sequence number, and for any timestamp", () => {
    expect(judge("0 < . 1:1(0) ack 77 win 9\n+0 > R ...(0)")).toBe("pass");
    expect(judge("0 < . 1:1(0) ack 77 win 9\n+0 > R ...(1)")).toMatch(/length is 0, expected 1/);
    const syn = "+0 < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 10 ecr 0>";
    expect(judge(`${LISTENING}${syn}\n+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val ... ecr 10>`)).toBe("pass");
  });

  it("an echoed timestamp with ! goes as it stands, one without in the place of what was sent", () => {
    const script = (echo: string): string => `${LISTENING}+0 < S 0:0(0) win 65535 <mss 1460,TS val 10 ecr 0>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 100 ecr 10>
+.01 < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 20 ecr ${echo}>
+0 accept(3, ..., ...) = 4`;
    const echoed = (echo: string): number => {
      const { outcome, packets } = judgeWith(script(echo));
      expect(outcome).toBe("pass");
      const { bytes = new Uint8Array(4) } = packets.at(-1) ?? {};
      return new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 4).getUint32(0);
    };
    expect(echoed("100!")).toBe(100);
    expect(echoed("100")).not.toBe(100);
  });

  it.each([
    ["+0 < sctp: INIT[flgs=0, tag=1, params=[SUPPORTED_EXTENSIONS[types=[FORWARD_TSN,\n RECONFIG]]]]", "sctp packets"],
    ["+0 < udplite (100, 8)", "udplite packets"],
    ["+0 < [sctp(1)] icmp unreachable port_unreachable", "ICMP that quotes sctp"],
    ["+0 < . 1:1(0) ack 1 win 65535 /udp(9899 > 1234)", "TCP in UDP"],
    ["+0 > S. 0:0(0) ack 1 <...>/udp(1234 > 9899)", "TCP in UDP"],
    ["+0 < [1:1(0)/udp(1 > 2)] icmp unreachable port_unreachable", "TCP in UDP"],
  ])("%s is not supported, by its name", (line, feature) => {
    expect(judge(`${SOCKET}${line}\n+0 close(3) = 0`)).toBe(`unsupported 2: ${feature}`);
  });
});

describe("system calls of FreeBSD", () => {
  it("O_NONBLOCK, SOCK_NONBLOCK and MSG_DONTWAIT have FreeBSD's numbers", () => {
    expect(judge(`${SOCKET}+0 fcntl(3, F_GETFL) = 0x2\n+0 fcntl(3, F_SETFL, 0x6) = 0\n+0 fcntl(3, F_GETFL) = 0x6`)).toBe("pass");
    expect(judge(`${SOCKET}+0 fcntl(3, F_SETFL, O_RDWR|O_NDELAY) = 0\n+0 fcntl(3, F_GETFL) = 6`)).toBe("pass");
    expect(judge("0 socket(..., 0x20000001, IPPROTO_TCP) = 3\n+0 fcntl(3, F_GETFL) = 6")).toBe("pass");
    expect(judge(`${OPEN}+0 recv(4, ..., 10, 0x80) = -1 EAGAIN`)).toBe("pass");
    expect(judge(`${OPEN}+0 recv(4, ..., 10, MSG_NBIO) = -1 EAGAIN`)).toBe("pass");
    expect(judge(`${OPEN}+0 send(4, ..., 10, MSG_EOF) = 10`)).toBe("unsupported 8: MSG_EOF");
  });

  it("FIONBIO turns blocking off and on, FIONWRITE tells what is not acknowledged", () => {
    const flags = (value: number): string => `${SOCKET}+0 ioctl(3, FIONBIO, [${value}]) = 0\n+0 fcntl(3, F_GETFL) = `;
    expect(judge(`${flags(1)}6`)).toBe("pass");
    expect(judge(`${flags(1)}2`)).toMatch(/^fail/);
    expect(judge(`${flags(0)}2`)).toBe("pass");
    const sent = `${OPEN}+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+0 ioctl(4, FIONWRITE, `;
    expect(judge(`${sent}[100]) = 0`)).toBe("pass");
    expect(judge(`${sent}[0]) = 0`)).toMatch(/^fail/);
  });

  it("what a listener accepts blocks as the listener does", () => {
    const script = (call: string, flags: number): string =>
      `${LISTENING}+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n${HANDSHAKE}+0 ${call} = 4\n+0 fcntl(4, F_GETFL) = ${flags}`;
    expect(judge(script("accept(3, ..., ...)", 6))).toBe("pass");
    expect(judge(script("accept4(3, ..., ..., 0)", 2))).toBe("pass");
    expect(judge(script("accept4(3, ..., ..., SOCK_NONBLOCK)", 6))).toBe("pass");
  });

  const connecting = `${SOCKET}+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) win 65535 <...>
+0 connect(3, ..., ...) = -1 EALREADY\n`;

  it("a connect after one that is done is EISCONN, after one that has failed ECONNREFUSED", () => {
    expect(judge(`${connecting}+0 < S. 0:0(0) ack 1 win 65535\n+0 > . 1:1(0) ack 1\n+0 connect(3, ..., ...) = -1 EISCONN`)).toBe(
      "pass",
    );
    const refused = `${connecting}+0 < R. 0:0(0) ack 1 win 0\n`;
    expect(judge(`${refused}+0 connect(3, ..., ...) = -1 ECONNREFUSED`)).toBe("pass");
    expect(judge(`${refused}+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [61], [4]) = 0`)).toBe("pass");
    expect(judge(`${refused}+0 getsockopt(3, 0xffff, 0x1007, [ECONNREFUSED], [4]) = 0`)).toBe("pass");
    expect(judge(`${refused}+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [54], [4]) = 0`)).toMatch(/^fail/);
  });

  it("switches show the bit that stands for them", () => {
    const asked = (name: string, value: number, shown: number): string =>
      judge(`${SOCKET}+0 setsockopt(3, ${name}, [${value}], 4) = 0\n+0 getsockopt(3, ${name}, [${shown}], [4]) = 0`);
    expect(asked("SOL_SOCKET, SO_KEEPALIVE", 1, 8)).toBe("pass");
    expect(asked("SOL_SOCKET, SO_KEEPALIVE", 1, 0)).toMatch(/^fail 3/);
    expect(asked("SOL_SOCKET, SO_KEEPALIVE", 1, 1)).toBe("fail 3: getsockopt SO_KEEPALIVE");
    expect(asked("0xffff, 4", 1, 4)).toBe("pass");
    expect(asked("IPPROTO_TCP, TCP_NODELAY", 1, 4)).toBe("pass");
    expect(asked("IPPROTO_TCP, TCP_NOPUSH", 1, 0x1000)).toBe("pass");
    expect(asked("IPPROTO_TCP, 4", 0, 0)).toBe("pass");
    expect(asked("IPPROTO_TCP, TCP_KEEPIDLE", 30, 30)).toBe("pass");
    expect(asked("IPPROTO_TCP, 128", 30, 30)).toBe("pass");
  });

  it("TCP_MAXSEG before there is a connection takes less than the default, and a handshake forgets it", () => {
    const set = (value: number, result: string): string =>
      `${SOCKET}+0 setsockopt(3, IPPROTO_TCP, TCP_MAXSEG, [${value}], 4) = ${result}\n`;
    expect(judge(set(1000, "-1 EINVAL"))).toBe("pass");
    expect(judge(set(100, "-1 EINVAL"))).toBe("pass");
    expect(judge(`${set(400, "0")}+0 getsockopt(3, IPPROTO_TCP, TCP_MAXSEG, [536], [4]) = 0`)).toBe("pass");
    const syn = "+0...0.1 connect(3, ..., ...) = 0\n+0 > S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 1 ecr 0>";
    expect(judge(`${set(400, "0")}${syn}\n+.1 < S. 0:0(0) ack 1 win 9\n+0 > . 1:1(0) ack 1`)).toBe("pass");
  });

  it("TCP_FUNCTION_BLK knows the stack of that name", () => {
    const set = (name: string, result: string): string =>
      judge(`${SOCKET}+0 setsockopt(3, IPPROTO_TCP, TCP_FUNCTION_BLK, {function_set_name="${name}", pcbcnt=0}, 36) = ${result}`);
    expect(set("freebsd", "0")).toBe("pass");
    expect(set("none", "-1 ENOENT")).toBe("pass");
    expect(set("default", "0")).toBe("pass");
    expect(set("rack", "0")).toBe("pass");
    expect(set("bbr", "0")).toBe("unsupported 2: the TCP stack bbr");
  });

  it("with the stack rack a lost tail is probed for, with FreeBSD's own it is not", () => {
    const script = (name: string, repeated: string): string => `${SOCKET}+0 bind(3, ..., ...) = 0
+0 setsockopt(3, IPPROTO_TCP, TCP_FUNCTION_BLK, {function_set_name="${name}", pcbcnt=0}, 36) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1000,sackOK,eol,eol>
+0 > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,eol,eol>
+.02 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 2000) = 2000
+0 > . 1:1001(1000) ack 1
+0 > P. 1001:2001(1000) ack 1
* > ${repeated} ack 1`;
    expect(judge(script("freebsd", ". 1:1001(1000)"))).toBe("pass");
    expect(judge(script("rack", "P. 1001:2001(1000)"))).toBe("pass");
  });

  it("buffers may be small, but not larger than kern.ipc.maxsockbuf allows; TCP_CONGESTION of a name that is not known is ESRCH", () => {
    const set = (bytes: number, result: string): string =>
      `${SOCKET}+0 setsockopt(3, SOL_SOCKET, SO_RCVBUF, [${bytes}], 4) = ${result}\n`;
    expect(judge(set(2_000_000, "-1 ENOBUFS"))).toBe("pass");
    expect(judge(set(0, "-1 EINVAL"))).toBe("pass");
    const syn =
      "+0...0.5 connect(3, ..., ...) = 0\n+0 > S 0:0(0) win 1000 <...>\n+.5 < S. 0:0(0) ack 1 win 9\n+0 > . 1:1(0) ack 1";
    expect(judge(`${set(1000, "0")}${syn}`)).toBe("pass");
    expect(judge(`${SOCKET}+0 setsockopt(3, IPPROTO_TCP, TCP_CONGESTION, "none", 4) = -1 ESRCH`)).toBe("pass");
    expect(judge(`${SOCKET}+0 setsockopt(3, IPPROTO_TCP, TCP_CONGESTION, "newreno", 8) = 0`)).toBe("pass");
  });

  it("a SYN asks for ECN once more when it is repeated, and not after that", () => {
    const script = (command: string, second: string): string => `0 \`${command}\`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > SEW 0:0(0) win 65535 <...>
+1 > ${second} 0:0(0) win 65535 <...>
+2 > S 0:0(0) win 65535 <...>`;
    expect(judge(script("sysctl -w net.inet.tcp.ecn.enable=1", "SEW"))).toBe("pass");
    expect(judge(script("sysctl -w net.inet.tcp.ecn.enable=1 net.inet.tcp.ecn.maxretries=0", "S"))).toBe("pass");
    expect(judge(script("sysctl -w net.inet.tcp.ecn.enable=3", "SEWA").replace("SEW 0", "SEWA 0"))).toBe("pass");
  });

  it("TCP_NOOPT: no options in a SYN, nor in a SYN-ACK", () => {
    const set = (value: number): string => `+0 setsockopt(3, IPPROTO_TCP, TCP_NOOPT, [${value}], 4) = 0\n`;
    const offered = "+0 < S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 1 ecr 0>\n";
    expect(judge(`${LISTENING}${set(1)}${offered}+0 > S. 0:0(0) ack 1 win 65535`)).toBe("pass");
    expect(judge(`${SOCKET}${set(1)}+0...1 connect(3, ..., ...) = 0\n+0 > S 0:0(0) win 65535\n+1 < S. 0:0(0) ack 1 win 9`)).toBe(
      "pass",
    );
    const layout = "<mss 1460,nop,wscale 6,sackOK,TS val 1 ecr 1>";
    expect(judge(`${LISTENING}${set(1)}${set(0)}${offered}+0 > S. 0:0(0) ack 1 win 65535 ${layout}`)).toBe("pass");
  });

  it("TCP_KEEPINIT is how long a connect may take", () => {
    const script = `${SOCKET}+0 setsockopt(3, IPPROTO_TCP, TCP_KEEPINIT, [3], 4) = 0\n+0...3 connect(3, ..., ...) = -1 ETIMEDOUT`;
    expect(judge(script)).toBe("pass");
  });

  it("TCP_NOPUSH holds back what fills no segment until it is taken off", () => {
    const held = `${OPEN}+0 setsockopt(4, IPPROTO_TCP, TCP_NOPUSH, [1], 4) = 0
+0 write(4, ..., 2000) = 2000
+0 > . 1:1461(1460) ack 1
+.01 < . 1:1(0) ack 1461 win 65535\n`;
    expect(judge(`${held}+1 > P. 1461:2001(540) ack 1`)).toMatch(/^fail 12: no packet/);
    expect(judge(`${held}+1 setsockopt(4, IPPROTO_TCP, TCP_NOPUSH, [0], 4) = 0\n+0 > P. 1461:2001(540) ack 1`)).toBe("pass");
    expect(judge(`${held}+1 close(4) = 0\n+0 > FP. 1461:2001(540) ack 1`)).toBe("pass");
  });

  it("code has FreeBSD's tcp_info, and the numbers of its states", () => {
    const syn = "+0 < S 0:0(0) win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 1 ecr 0>\n+0 > S. 0:0(0) ack 1 <...>\n";
    const script = `${LISTENING}+0 %{ assert tcpi_state == TCPI_LISTEN and tcpi_state == 1 }%
${syn}+.05 < . 1:1(0) ack 1 win 1024 <nop,nop,TS val 2 ecr 1>
+0 accept(3, ..., ...) = 4
+0 %{
assert tcpi_state == TCPI_ESTABLISHED and tcpi_state == 4
assert tcpi_options == TCPI_OPT_TIMESTAMPS|TCPI_OPT_SACK|TCPI_OPT_WSCALE, tcpi_options
assert tcpi_snd_cwnd == 14480 and tcpi_snd_ssthresh == 1073725440, tcpi_snd_cwnd
assert tcpi_snd_mss == 1460 and tcpi_rcv_mss == 1460
assert tcpi_snd_wnd == 65536 and tcpi_rcv_space == 65700, tcpi_rcv_space
}%
+0 close(3) = 0
+0 shutdown(4, SHUT_WR) = 0
+0 > F. 1:1(0) ack 1 <...>
+0 %{ assert tcpi_state == TCPI_FIN_WAIT_1 and tcpi_state == 6 }%
+.05 < F. 1:1(0) ack 2 win 1024 <nop,nop,TS val 3 ecr 1>
+0 > . 2:2(0) ack 2 <...>
+0 %{ assert tcpi_state == TCPI_TIME_WAIT and tcpi_state == 10 }%`;
    expect(judge(script)).toBe("pass");
    expect(judge(`${SOCKET}+0 %{ assert tcpi_state == TCPI_CLOSED and tcpi_state == 0 }%`)).toBe("pass");
    expect(judge(`${SOCKET}+0 %{ assert tcpi_state == TCPI_LISTEN }%`)).toMatch(/^fail 2/);
    const linux = told(judgeWith(`${SOCKET}+0 %{ assert tcpi_state == TCPI_CLOSED and tcpi_state == 7 }%`, { profile: "linux" }));
    expect(linux).toBe("pass");
  });

  it("options that change nothing are taken, unknown ones are not", () => {
    expect(judge(`${SOCKET}+0 setsockopt(3, SOL_SOCKET, SO_NOSIGPIPE, [1], 4) = 0`)).toBe("pass");
    expect(judge(`${SOCKET}+0 setsockopt(3, IPPROTO_TCP, TCP_LOGID, "name", 4) = 0`)).toBe("pass");
    expect(judge(`${SOCKET}+0 setsockopt(3, IPPROTO_TCP, 999, [1], 4) = 0`)).toBe("unsupported 2: socket option 999 of FreeBSD");
    expect(judge(`${SOCKET}+0 setsockopt(3, SOL_SOCKET, SO_ACCEPTFILTER, {af_name="dataready", af_arg=""}, 256) = 0`)).toBe(
      "unsupported 2: the socket option SO_ACCEPTFILTER",
    );
  });
});
