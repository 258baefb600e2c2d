/** What the runner takes for a pass, and what not. */
import { describe, expect, it } from "vitest";
import { ACCEPTED, judge, told } from "./support.js";

describe("packets that the stack has to send", () => {
  const data = `${ACCEPTED} +0 write(4, ..., 1000) = 1000\n`;

  it("pass as they are", () => {
    expect(told(judge(`${data} +0 > P. 1:1001(1000) ack 1`))).toBe("pass");
  });

  const wrong: [string, string][] = [
    ["+0 > . 1:1001(1000) ack 1", "flags are P., expected . (PSH alone differs)"],
    ["+0 > P. 2:1002(1000) ack 1", "sequence number is 1, expected 2 (off by -1)"],
    ["+0 > P. 1:901(900) ack 1", "length is 1000, expected 900"],
    ["+0 > P. 1:1001(1000) ack 2", "acknowledgment number is 1, expected 2"],
    ["+0 > P. 1:1001(1000) ack 1 win 5", "window is 64240, expected 5"],
    ["+0 > P. 1:1001(1000) ack 1 <nop,nop,sack 1:2>", "options are <>, expected <nop,nop,sack 1 {1:2}>"],
    ["+0 > [ect0] P. 1:1001(1000) ack 1", "ECN field is 0, expected 2"],
    ["+0 > (ttl 5) P. 1:1001(1000) ack 1", "TTL is 64, expected 5"],
    ["+0 > (tos 0x4) P. 1:1001(1000) ack 1", "TOS is 0, expected 4"],
    ["+.1 > P. 1:1001(1000) ack 1", "the packet came too early"],
    ["+0 > PU. 1:1001(1000) ack 1 urg 5", "flags are P., expected P.U"],
    ["+0 > P. 1:1001(1000)", "acknowledgment number is 1, expected 0"],
  ];
  it.each(wrong)("%s fails", (line, message) => {
    expect(told(judge(`${data} ${line}`))).toBe(`fail 11: ${message}`);
  });

  it("none where one is expected", () => {
    expect(told(judge(`${ACCEPTED} +0 > . 1:1(0) ack 1`))).toBe("fail 10: no packet was sent");
  });

  it("a tolerance lets them be late", () => {
    expect(told(judge(`--tolerance_usecs=200000\n${data} +.1 > P. 1:1001(1000) ack 1`))).toBe("pass");
  });

  it("segments may be joined, unless the script is strict about them", () => {
    const script = `${ACCEPTED} +0 write(4, ..., 2000) = 2000\n +0 > P. 1:2001(2000) ack 1`;
    expect(told(judge(script))).toBe("pass");
    expect(told(judge(`--strict_segments\n${script}`))).toContain("flags are ., expected P.");
    expect(told(judge(script.replace("1:2001(2000)", "1:1901(1900)")))).toContain("flags are ., expected P.");
  });

  it("what the script does not know is a failure only when strict", () => {
    expect(told(judge(data))).toBe("pass");
    expect(told(judge(data, { strict: true }))).toMatch(/^fail 10: a packet that the script does not know/);
    expect(told(judge(`${ACCEPTED}`, { strict: true }))).toBe("pass");
  });

  it("tolerant looks past the order of options, padding and the window", () => {
    const script = ACCEPTED.replace("<mss 1460>", "<nop,mss 1460,nop>").replace("ack 1 <nop", "ack 1 win 5 <nop");
    expect(told(judge(script))).toContain("window is 64240");
    expect(told(judge(script, { tolerant: true }))).toBe("pass");
  });
});

describe("numbers", () => {
  const opened = ACCEPTED.replace("S 0:0(0) win", "S 5000:5000(0) win").replace("S. 0:0(0) ack 1", "S. 700:700(0) ack 5001");

  it("of segments with SYN are absolute, all others count from the SYN of their side", () => {
    const script = `${opened} +0 < P. 1:101(100) ack 1 win 1000\n * > . 1:1(0) ack 101\n +0 write(4, ..., 10) = 10
      +0 > P. 1:11(10) ack 101\n +0 < . 201:301(100) ack 11 win 1000 <nop,nop,sack 1:2>
      * > . 11:11(0) ack 101 <...>`;
    expect(told(judge(script))).toBe("pass");
  });

  it("of the peer's SACKs are ours", () => {
    const script = opened.replaceAll("<mss 1000>", "<mss 1000,sackOK>").replace("<mss 1460>", "<mss 1460,nop,nop,sackOK>");
    const data = `${script} +0 < P. 101:201(100) ack 1 win 1000\n +0 > . 1:1(0) ack 1 <nop,nop,sack 101:201>`;
    expect(told(judge(data))).toBe("pass");
  });

  it("of an active open are learned from the answer", () => {
    const script = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
      +0 connect(3, ..., ...) = -1 EINPROGRESS\n+0 > S 90:90(0) <...>\n+0 < S. 400:400(0) ack 91 win 1000 <mss 1000>
      +0 > . 1:1(0) ack 1\n+0 connect(3, ..., ...) = 0\n+0 write(3, ..., 10) = 10\n+0 > P. 1:11(10) ack 1`;
    expect(told(judge(script))).toBe("pass");
  });
});

describe("time", () => {
  it("of a timer may be off by an eighth of the time since the event before, or what --tolerance_percent says", () => {
    const script = (at: string): string =>
      `${ACCEPTED} +0 write(4, ..., 10) = 10\n +0 > P. 1:11(10) ack 1\n * > P. 1:11(10) ack 1\n +0 listen(3, 1) = 0\n ${at} > P. 1:11(10) ack 1`;
    const probe = judge(script("*")).packets.at(-1)?.at ?? 0;
    const before = judge(script("*")).packets.at(-2)?.at ?? 0;
    const gap = (probe - before) / 1e6;
    expect(told(judge(script(`+${gap * 0.92}`)))).toBe("pass");
    expect(told(judge(script(`+${gap * 0.8}`)))).toContain("no packet was sent");
    expect(told(judge(`--tolerance_percent=1\n${script(`+${gap * 0.92}`)}`))).toContain("no packet was sent");
    expect(told(judge(`--tolerance_percent=30\n${script(`+${gap * 0.8}`)}`))).toBe("pass");
  });

  it("counts from when something happened, not from when it was to happen", () => {
    const script = `--tolerance_usecs=100000\n${ACCEPTED} +0 write(4, ..., 10) = 10\n +.08 > P. 1:11(10) ack 1\n`;
    expect(judge(`${script} +.1 close(4) = 0`).packets.at(-1)?.at).toBe((judge(script).packets.at(-1)?.at as number) + 100_000);
  });

  it("a call without an end may wait as long as it likes", () => {
    expect(
      told(
        judge(`${ACCEPTED} +0 poll([{fd=4, events=POLLIN, revents=0}], 1, 1500) = 0\n +0 close(4) = 0\n +0 > F. 1:1(0) ack 1`),
      ),
    ).toBe("pass");
  });
});

describe("whose packets the script speaks of", () => {
  it("those of another connection are passed over", () => {
    const script = `${ACCEPTED} +0 < 999 > 8080 S 5:5(0) win 100\n +0 write(4, ..., 10) = 10\n +0 > P. 1:11(10) ack 1`;
    expect(told(judge(script))).toBe("pass");
    expect(told(judge(script, { strict: true }))).toContain("flags are S.");
  });

  it("behind a listener the first peer that sends anything", () => {
    const script = ACCEPTED.replace("  +0 < S 0:0(0)", "  +0 < R 0:0(0) win 0\n  +0 < S 0:0(0)");
    const [reset, syn] = judge(script).packets.map(({ bytes }) => bytes.subarray(20, 24).join());
    expect(syn).toBe(reset);
  });
});

describe("calls", () => {
  const wrong: [string, string][] = [
    ["+0 read(4, ..., 10) = 5", "the call does not return"],
    ["+0 write(4, ..., 10) = 5", "write returned 10"],
    ["+0 read(9, ..., 10) = 5", "read returned -1 EBADF"],
    ["+0 close(9) = -1 EINVAL", "close returned -1 EBADF"],
    ["+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0", "getsockopt TCP_NODELAY"],
    ["+0 ioctl(4, SIOCINQ, [5]) = 0", "ioctl SIOCINQ"],
    ["+0 poll([{fd=4, events=POLLOUT, revents=POLLIN}], 1, 0) = 1", "poll: revents of 4 are 0x4, expected 0x1"],
    ["+0...+.1 write(4, ..., 10) = 10", "the call did not wait"],
    ["+0 %{ assert tcpi_state == TCP_CLOSE }%", "assert tcpi_state == TCP_CLOSE"],
    ["+0 poll([{fd=4, events=POLLOUT}], 1, 0) = 1", "poll: revents of 4 are 0x4, expected 0x0"],
    ["+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}, [8]) = 0", "getsockopt SO_LINGER"],
    ['+0 getsockopt(4, SOL_TCP, TCP_CONGESTION, "reno", [4]) = 0', "getsockopt TCP_CONGESTION"],
    ["+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [ECONNRESET], [4]) = 0", "getsockopt SO_ERROR"],
    ["+0 getsockopt(4, SOL_SOCKET, SO_MARK, [7], [4]) = 0", "getsockopt SO_MARK"],
    ["+0 getsockopt(4, SOL_IP, IP_MTU, [1400], [4]) = 0", "getsockopt IP_MTU"],
    ["+0 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, [5, 1000000], 16) = 0", "setsockopt returned -1 EDOM"],
    ["+0 setsockopt(9, SOL_SOCKET, SO_MARK, [5], 4) = 0", "setsockopt returned -1 EBADF"],
    ["+0 shutdown(4, 7) = 0", "shutdown returned -1 EINVAL"],
    ["+0 accept4(3, ..., ..., 1) = 5", "accept4 returned -1 EINVAL"],
    ["+0 socket(AF_UNSPEC, SOCK_STREAM, IPPROTO_TCP) = 5", "socket returned -1 EAFNOSUPPORT"],
    ["+0 getpeername(3, ..., ...) = 0", "getpeername returned -1 ENOTCONN"],
    [
      '+0 getsockname(4, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("192.168.0.1")}, ...) = 0',
      "the name of the socket",
    ],
    ["+0 epoll_wait(4, {events=EPOLLIN, fd=4}, 1, 0) = 0", "epoll_wait returned -1 EINVAL"],
  ];
  it.each(wrong)("%s fails", (line, message) => {
    expect(told(judge(`${ACCEPTED} ${line}`))).toBe(`fail 10: ${message}`);
  });

  it("one that blocks returns in its time, and not in another", () => {
    const script = (until: string): string =>
      `${ACCEPTED} +0...+${until} read(4, ..., 10) = 10\n +.5 < P. 1:11(10) ack 1 win 100\n * > . 1:1(0) ack 11`;
    expect(told(judge(script("0.5")))).toBe("pass");
    expect(told(judge(script("0.3")))).toMatch(/^fail \d+: the call returned at another time/);
  });
});

describe("control messages", () => {
  const zerocopy = (low: number, code: number, flags = "MSG_ERRQUEUE"): string => `${ACCEPTED}
    +0 setsockopt(4, SOL_SOCKET, SO_ZEROCOPY, [1], 4) = 0\n +0 send(4, ..., 10, MSG_ZEROCOPY) = 10\n +0 > P. 1:11(10) ack 1
    +0 < . 1:1(0) ack 11 win 1000\n +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=${flags},
      msg_control=[{cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_errno=0, ee_origin=5, ee_type=0,
      ee_code=${code}, ee_info=${low}, ee_data=0}}]}, MSG_ERRQUEUE) = 0`;

  it("are compared field by field, and the flags", () => {
    expect(told(judge(zerocopy(0, 1)))).toBe("pass");
    expect(told(judge(zerocopy(3, 1)))).toContain("recvmsg: message 0: ee_info is 0, expected 3");
    expect(told(judge(zerocopy(0, 0)))).toContain("ee_code is 1, expected 0");
    expect(told(judge(zerocopy(0, 1, "0")))).toContain("recvmsg: msg_flags");
  });

  it("as many as the script says, of the level and type that it says", () => {
    const script = zerocopy(0, 1);
    expect(told(judge(script.replace("SOL_IP", "SOL_IPV6")))).toContain("recvmsg: message 0");
    expect(
      told(judge(script.replace("}}]}, MSG", "}}, {cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data=0}]}, MSG"))),
    ).toContain("recvmsg: msg_control");
  });

  it("of IPv6 are those of IPv6", () => {
    const script = zerocopy(0, 1).replace("SOL_IP,", "SOL_IPV6,").replace("=IP_RECVERR", "=IPV6_RECVERR");
    expect(told(judge(`--ip_version=ipv6\n${script.replace("mss 1460", "mss 1440")}`))).toBe("pass");
  });

  it("stamps tell the time within the tolerance", () => {
    const script = (nsec: number): string => `${ACCEPTED}
      +0 setsockopt(4, SOL_SOCKET, SO_TIMESTAMPING, [SOF_TIMESTAMPING_TX_SOFTWARE|SOF_TIMESTAMPING_SOFTWARE], 4) = 0
      +0 write(4, ..., 10) = 10\n +0 > P. 1:11(10) ack 1
      +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE|MSG_TRUNC,
        msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0, scm_nsec=${nsec}}},
        {cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data=...}]}, MSG_ERRQUEUE) = 0`;
    expect(told(judge(script(100_000_000)))).toBe("pass");
    expect(told(judge(script(150_000_000)))).toContain("stamp of 0.1 s, expected 0.15 s");
  });

  it("statistics come with stamps that ask for them", () => {
    const script = (cwnd: number): string => `${ACCEPTED}
      +0 setsockopt(4, SOL_SOCKET, SO_TIMESTAMPING, [SOF_TIMESTAMPING_TX_ACK|SOF_TIMESTAMPING_SOFTWARE|SOF_TIMESTAMPING_OPT_TSONLY|SOF_TIMESTAMPING_OPT_STATS], 4) = 0
      +0 write(4, ..., 10) = 10\n +0 > P. 1:11(10) ack 1\n +.1 < . 1:1(0) ack 11 win 1000
      +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE|MSG_TRUNC,
        msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data=...},
        {cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING_OPT_STATS, cmsg_data={TCP_NLA_SND_CWND=${cwnd}, TCP_NLA_BYTES_SENT=10, TCP_NLA_SRTT=...}},
        {cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data=...}]}, MSG_ERRQUEUE) = 0`;
    expect(told(judge(script(10)))).toBe("pass");
    expect(told(judge(script(9)))).toContain("TCP_NLA_SND_CWND is 10, expected 9");
  });
});

describe("what we do not have is named", () => {
  const lines: [string, string][] = [
    ["+0 mmap(1, 2) = 0", "the system call mmap"],
    ['+0 setsockopt(4, SOL_TCP, TCP_ULP, "tls", 4) = 0', "the socket option TCP_ULP with tls"],
    ["+0 setsockopt(4, SOL_TCP, TCP_REPAIR, [1], 4) = 0", "the socket option TCP_REPAIR"],
    ["+0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 5", "sockets that are not SOCK_STREAM"],
    ["+0 `make install`", 'the command "make install"'],
    ["+0 `sysctl -q net.ipv4.tcp_nothing=1`", "sysctl net.ipv4.tcp_nothing"],
    ["+0 `sysctl -q net.ipv4.tcp_congestion_control=bbr`", "the congestion control bbr"],
    ["+0 %{ assert tcpi_nothing }%", "the name tcpi_nothing in code"],
  ];
  it.each(lines)("%s", (line, feature) => {
    expect(told(judge(`${ACCEPTED} ${line}`))).toBe(`unsupported 10: ${feature}`);
  });

  it("options of packetdrill that change what is tested", () => {
    expect(told(judge("--wire_protocol=x\n0 close(3) = 0"))).toBe("unsupported 0: the option --wire_protocol");
  });
});

describe("configuration", () => {
  const configured: [string, string][] = [
    ["sysctl -q net.ipv4.tcp_timestamps=0", "<mss 1460,nop,nop,sackOK,nop,wscale 7>"],
    ["sysctl -q net.ipv4.tcp_sack=0", "<mss 1460,nop,nop,TS val 100 ecr 0,nop,wscale 7>"],
    ["sysctl -w net.ipv4.tcp_window_scaling=0", "<mss 1460,sackOK,TS val 100 ecr 0>"],
    ["sysctl -q net.ipv4.tcp_rmem='4096 131072 16777216'", "<mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 9>"],
    ["../common/set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0 /proc/sys/net/ipv4/tcp_sack=0", "<mss 1460,nop,wscale 7>"],
    ["sysctl net.inet.tcp.rfc1323=0 net.inet.tcp.sack.enable=0", "<mss 1460>"],
    ["sysctl -w net.ipv4.tcp_timestamps=0\nsysctl -w net.ipv4.tcp_sack=0", "<mss 1460,nop,wscale 7>"],
    ["../common/defaults.sh", "<mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>"],
  ];
  it.each(configured)("%s", (command, options) => {
    const script = `\`${command}\`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
      +0 connect(3, ..., ...) = -1 EINPROGRESS\n+0 > S 0:0(0) ${options}`;
    expect(told(judge(script))).toBe("pass");
  });

  it("--tcp_ts_tick_usecs holds the values of timestamps to the time", () => {
    const script = (tick: number, value: number): string => `--tcp_ts_tick_usecs=${tick}
      0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
      +0 connect(3, ..., ...) = -1 EINPROGRESS\n+0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
      +1 > S 0:0(0) <mss 1460,sackOK,TS val ${value} ecr 0,nop,wscale 7>`;
    expect(told(judge(script(1000, 1100)))).toBe("pass");
    expect(told(judge(script(1000, 1200)))).toContain("the timestamp does not tell the time");
    expect(told(judge(script(0, 1200)))).toBe("pass");
  });

  it("--mtu, --ip_version, addresses", () => {
    const script = `--mtu=1400\n--ip_version=ipv6\n${ACCEPTED.replace("mss 1460", "mss 1340")}`;
    expect(told(judge(script))).toBe("pass");
  });

  it("-D gives code its names", () => {
    expect(told(judge(`-D N=7\n${ACCEPTED} +0 %{ assert N == 7 }%`))).toBe("pass");
  });
});

it("the same seed gives the same packets, another seed others", () => {
  const bytes = (seed: number): string =>
    judge(ACCEPTED, { seed })
      .packets.map(({ bytes: one }) => Buffer.from(one).toString("hex"))
      .join();
  expect(bytes(1)).toBe(bytes(1));
  expect(bytes(2)).not.toBe(bytes(1));
});
