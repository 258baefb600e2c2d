/** Commands and definitions where scripts run: what they do to the stack, and to time. */
import { describe, expect, it } from "vitest";
import { ACCEPTED, judge, told } from "./support.js";

describe("commands in the middle of a script", () => {
  it("take the time that they are to have, and sleep takes its own", () => {
    const script = `${ACCEPTED}
 +.5 \`true\`
 +.5 \`sleep 2\`
  +0 write(4, ..., 10) = 10
3.100 > P. 1:11(10) ack 1`;
    expect(told(judge(script))).toBe("pass");
    expect(told(judge(script.replace("3.100", "3.000")))).toContain("too late");
  });

  it("before the first call the clock runs as well", () => {
    const open = `
   0 \`true\`
  +1 \`true\`
  +1 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
  +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n`;
    expect(told(judge(`${open}2 > S 0:0(0) <...>`))).toBe("pass");
    expect(told(judge(`${open}1 > S 0:0(0) <...>`))).toContain("too late");
  });

  it("change the whole stack: SYN cookies, its key, ports", () => {
    const listen = ACCEPTED.split("\n").slice(0, 5).join("\n");
    const script = `${listen}
  +0 \`sysctl -q net.ipv4.tcp_syncookies=2 net.ipv4.tcp_timestamps=0\`
  +0 < S 0:0(0) win 32792 <mss 1000>
  +0 > S. 0:0(0) ack 1 <mss 1460>
 +2. < . 1:1(0) ack 1 win 32792
  +0 accept(3, ..., ...) = 4`;
    // A cookie is never repeated.
    expect(told(judge(script, { strict: true }))).toBe("pass");
    expect(told(judge(script.replace("tcp_syncookies=2", "tcp_syncookies=1"), { strict: true }))).not.toBe("pass");
  });
});

describe("sysctls in the middle of a script", () => {
  const LISTENING = ACCEPTED.split("\n").slice(0, 5).join("\n");

  it("hold for a SYN that comes later", () => {
    const script = `${LISTENING}
  +0 \`sysctl -q net.ipv4.tcp_sack=0\`
  +0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop>
  +0 > S. 0:0(0) ack 1 <mss 1460>`;
    expect(told(judge(script))).toBe("pass");
    expect(told(judge(script.replace("tcp_sack=0", "tcp_sack=1")))).toContain("options are");
  });

  it("hold for a connection that is there, where Linux looks them up each time", () => {
    const script = `${ACCEPTED.replace("<mss 1000>", "<mss 1000,sackOK,nop,nop>").replace("<mss 1460>", "<mss 1460,nop,nop,sackOK>")}
  +0 < P. 1:101(100) ack 1 win 32792
  +0 > . 1:1(0) ack 101
  +0 \`sysctl -q net.ipv4.tcp_dsack=0\`
  +0 < P. 1:101(100) ack 1 win 32792
  +0 > . 1:1(0) ack 101
  +0 \`sysctl -q net.ipv4.tcp_dsack=1\`
 +.6 < P. 1:101(100) ack 1 win 32792
  +0 > . 1:1(0) ack 101 <nop,nop,sack 1:101>`;
    expect(told(judge(script))).toBe("pass");
  });
});

describe("metrics of the route", () => {
  const opened = (command: string, window = "64240"): string => `\`${command}\`
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 bind(3, ..., ...) = 0
  +0 listen(3, 1) = 0
  +0 < S 0:0(0) win 32792 <mss 1000>
  +0 > S. 0:0(0) ack 1 win ${window} <mss 1460>
 +.1 < . 1:1(0) ack 1 win 32792
  +0 accept(3, ..., ...) = 4`;

  it("initcwnd", () => {
    const script = `${opened("ip route change 192.0.2.0/24 dev tun0 initcwnd 2")}
  +0 write(4, ..., 5000) = 5000
  +0 > . 1:2001(2000) ack 1
 +.1 < . 1:1(0) ack 1 win 32792
 +.1 < . 1:1(0) ack 2001 win 32792
  +0 > P. 2001:5001(3000) ack 1`;
    expect(told(judge(script))).toBe("pass");
    expect(told(judge(script.replace("initcwnd 2", "initcwnd 1")))).toContain("length is 1000");
  });

  it("initrwnd", () => {
    expect(told(judge(opened("ip route change default dev tun0 initrwnd 3", "4380")))).toBe("pass");
  });

  it("quickack", () => {
    const script = `${opened("ip route change default dev tun0 quickack 1")}
  +0 setsockopt(4, SOL_TCP, TCP_QUICKACK, [0], 4) = 0
  +0 < P. 1:101(100) ack 1 win 32792
  +0 > . 1:1(0) ack 101`;
    expect(told(judge(script))).toBe("pass");
    expect(told(judge(script.replace("quickack 1", "quickack 0")))).toContain("no packet was sent");
  });

  it("advmss and mtu", () => {
    const script = opened("ip route change default dev tun0 advmss 500")
      .replace("<mss 1460>", "<mss 500>")
      .replace("64240", "...");
    expect(told(judge(script.replace(" win ...", "")))).toBe("pass");
  });
});

describe("words that runners of suites define", () => {
  const fastOpen = (cookie: string): string => `\`sysctl -q net.ipv4.tcp_fastopen=3\`
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 bind(3, ..., ...) = 0
  +0 setsockopt(3, SOL_TCP, TCP_FASTOPEN, [5], 4) = 0
  +0 listen(3, 5) = 0
  +0 < S 0:0(0) win 32792 <mss 1460,FO,nop,nop>
  +0 > S. 0:0(0) ack 1 <...>
  +0 < S 0:0(0) win 32792 <mss 1460,FO,nop,nop>
  +0 > S. 0:0(0) ack 1 <mss MSS,FO ${cookie},nop,nop>`;

  it.each([
    ["ipv4", "1460", "3021b9d889017eeb"],
    ["ipv6", "1440", "c1d1e9742a47a9bc"],
  ])("TFO_COOKIE is what Linux makes of the usual key over %s", (version, mss, cookie) => {
    const options = { options: { ip_version: version, "-D MSS": mss } };
    expect(told(judge(fastOpen("TFO_COOKIE"), options))).toBe("pass");
    expect(told(judge(fastOpen(cookie), options))).toBe("pass");
    expect(told(judge(fastOpen("0102030405060708"), options))).toContain("options are");
  });

  it("the command line's definition takes the place of the script's", () => {
    const script =
      "-D ANSWER=1\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n +0 getsockopt(3, SOL_TCP, TCP_NODELAY, [ANSWER], [4]) = 0";
    expect(told(judge(script))).toContain("getsockopt");
    expect(told(judge(script, { options: { "-D ANSWER": "0" } }))).toBe("pass");
  });
});
