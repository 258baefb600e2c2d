/** Socket options with what Linux 6.18 answers, on sockets that are new, that listen and that are connected. */
import { describe, expect, it } from "vitest";
import { ACCEPTED, judge, told } from "./support.js";

const NEW = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4\n";
const LISTENING = `${NEW} +0 bind(4, ..., ...) = 0\n +0 listen(4, 1) = 0\n`;

const answers = (state: string, calls: readonly string[]): void => {
  it.each(calls)("%s", (call) => {
    expect(told(judge(`${state} +0 ${call}`))).toBe("pass");
    // What is not checked would pass with any answer.
    const other = /= 0$/.test(call) ? call.replace(/= 0$/, "= -1 EIO (x)") : call.replace(/ E[A-Z]+ /, " EIO ");
    expect(told(judge(`${state} +0 ${other}`))).not.toBe("pass");
  });
};

describe("a new socket", () => {
  answers(NEW, [
    "setsockopt(4, SOL_SOCKET, SO_TYPE, [1], 3) = -1 EINVAL (Invalid argument)",
    "setsockopt(4, SOL_SOCKET, SO_TYPE, [1], 4) = -1 ENOPROTOOPT (Protocol not available)",
    "setsockopt(4, SOL_SOCKET, SO_PRIORITY, [-1], 4) = 0",
    "setsockopt(4, SOL_SOCKET, SO_PASSCRED, [1], 4) = -1 ENOTSUP (Operation not supported)",
    "setsockopt(4, SOL_SOCKET, SO_PASSCRED, [1], 4) = -1 EOPNOTSUPP (Operation not supported)",
    "setsockopt(4, SOL_SOCKET, SO_BUF_LOCK, [4], 4) = -1 EINVAL (Invalid argument)",
    "setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}, 4) = -1 EINVAL (Invalid argument)",
    'setsockopt(4, SOL_SOCKET, SO_BINDTODEVICE, "tun0", 4) = 0',
    'setsockopt(4, SOL_SOCKET, SO_BINDTODEVICE, "nosuch", 6) = -1 ENODEV (No such device)',
    "setsockopt(4, SOL_SOCKET, SO_PEEK_OFF, [-1], 4) = 0",
    "getsockopt(4, SOL_SOCKET, SO_PEEK_OFF, [-1], [4]) = 0",
    "setsockopt(4, SOL_SOCKET, SO_TIMESTAMP, [0], 4) = 0",
    "setsockopt(4, SOL_IP, IP_TOS, [300], 4) = 0",
    "setsockopt(4, SOL_IP, IP_TOS, [1], 0) = 0",
    "setsockopt(4, SOL_IP, IP_FREEBIND, [1], 0) = -1 EINVAL (Invalid argument)",
    "setsockopt(4, SOL_IP, IP_MTU, 0, 4) = -1 ENOPROTOOPT (Protocol not available)",
    "setsockopt(4, SOL_IPV6, IPV6_TCLASS, [5], 4) = -1 ENOPROTOOPT (Protocol not available)",
    "getsockopt(4, SOL_IPV6, IPV6_TCLASS, [0], [4]) = -1 EOPNOTSUPP (Operation not supported)",
    "setsockopt(4, SOL_TCP, TCP_IS_MPTCP, [1], 3) = -1 EINVAL (Invalid argument)",
    "setsockopt(4, SOL_TCP, TCP_TIMESTAMP, [1], 4) = -1 EPERM (Operation not permitted)",
    "setsockopt(4, SOL_TCP, TCP_MAXSEG, [0], 4) = 0",
    "setsockopt(4, SOL_TCP, TCP_MAXSEG, [87], 4) = -1 EINVAL (Invalid argument)",
    "getsockopt(4, SOL_TCP, TCP_MAXSEG, [536], [4]) = 0",
    "setsockopt(4, SOL_TCP, TCP_WINDOW_CLAMP, [0], 4) = 0",
    "setsockopt(4, SOL_TCP, TCP_WINDOW_CLAMP, [-1], 4) = 0",
    "getsockopt(4, SOL_TCP, TCP_NOTSENT_LOWAT, [0], [4]) = 0",
    "setsockopt(4, SOL_TCP, TCP_RTO_MIN_US, [1000], 4) = -1 EINVAL (Invalid argument)",
    "setsockopt(4, SOL_TCP, TCP_DELACK_MAX_US, [200001], 4) = -1 EINVAL (Invalid argument)",
    'setsockopt(4, SOL_TCP, TCP_CONGESTION, "", 0) = -1 EINVAL (Invalid argument)',
    'setsockopt(4, SOL_TCP, TCP_ULP, "nonesuch", 8) = -1 ENOENT (No such file or directory)',
    "getsockopt(4, SOL_TCP, TCP_REPAIR, [0], [4]) = 0",
    "recv(4, ..., 10, MSG_OOB) = -1 EINVAL (Invalid argument)",
  ]);

  it("TCP_MAXSEG and TCP_NOTSENT_LOWAT are told as they were set", () => {
    const script = `${NEW} +0 setsockopt(4, SOL_TCP, TCP_MAXSEG, [700], 4) = 0
 +0 getsockopt(4, SOL_TCP, TCP_MAXSEG, [700], [4]) = 0
 +0 setsockopt(4, SOL_TCP, TCP_MAXSEG, [0], 4) = 0
 +0 getsockopt(4, SOL_TCP, TCP_MAXSEG, [536], [4]) = 0
 +0 setsockopt(4, SOL_TCP, TCP_NOTSENT_LOWAT, [9000], 4) = 0
 +0 getsockopt(4, SOL_TCP, TCP_NOTSENT_LOWAT, [9000], [4]) = 0`;
    expect(told(judge(script))).toBe("pass");
  });

  it("over addresses of IPv4 in those of IPv6 it has options of both, and IPV6_TCLASS shows in no packet", () => {
    const script = `--ip_version=ipv4-mapped-ipv6
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
  +0 getsockopt(4, SOL_SOCKET, SO_DOMAIN, [AF_INET6], [4]) = 0
  +0 setsockopt(4, SOL_IPV6, IPV6_TCLASS, [0x28], 4) = 0
  +0 getsockopt(4, SOL_IPV6, IPV6_TCLASS, [0x28], [4]) = 0
  +0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
  +0 setsockopt(4, SOL_SOCKET, SO_ZEROCOPY, [1], 4) = 0
  +0 connect(4, ..., ...) = -1 EINPROGRESS (Operation now in progress)
  +0 > (tos 0) S 0:0(0) <...>
  +0 < S. 0:0(0) ack 1 win 9000
  +0 > . 1:1(0) ack 1
  +0 setsockopt(4, SOL_IP, IP_TOS, [0x10], 4) = 0
  +0 send(4, ..., 10, MSG_ZEROCOPY) = 10
  +0 > (tos 0x10) P. 1:11(10) ack 1
  +0 < . 1:1(0) ack 11 win 9000
  +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{...,0}], msg_flags=MSG_ERRQUEUE,
       msg_control=[{cmsg_level=CMSG_LEVEL_IP, cmsg_type=CMSG_TYPE_RECVERR,
         cmsg_data={ee_errno=0, ee_origin=SO_EE_ORIGIN_ZEROCOPY, ee_type=0, ee_code=SO_EE_CODE_ZEROCOPY_COPIED, ee_info=0, ee_data=0}}]},
       MSG_ERRQUEUE) = 0`;
    const dotted = script.replaceAll("(tos 0)", "(tos 0x0)");
    expect(told(judge(dotted))).toBe("pass");
    expect(told(judge(dotted.replace("CMSG_LEVEL_IP", "SOL_IP")))).toContain("recvmsg: message 0");
  });
});

describe("a listening socket", () => {
  answers(LISTENING, [
    "setsockopt(4, SOL_TCP, TCP_WINDOW_CLAMP, [0], 4) = -1 EINVAL (Invalid argument)",
    "setsockopt(4, SOL_TCP, TCP_FASTOPEN_CONNECT, [1], 4) = -1 EINVAL (Invalid argument)",
    "ioctl(4, SIOCATMARK, [0]) = 0",
    "recv(4, ..., 10, MSG_OOB) = -1 ENOTCONN (Transport endpoint is not connected)",
  ]);
});

describe("a connected socket", () => {
  answers(ACCEPTED, [
    "setsockopt(4, SOL_TCP, TCP_MAXSEG, [500], 4) = 0",
    "setsockopt(4, SOL_TCP, TCP_MAXSEG, [5], 4) = -1 EINVAL (Invalid argument)",
    "getsockopt(4, SOL_TCP, TCP_MAXSEG, [1000], [4]) = 0",
    "setsockopt(4, SOL_TCP, TCP_WINDOW_CLAMP, [0], 4) = -1 EINVAL (Invalid argument)",
  ]);

  it("its errnos have several names", () => {
    const script = `${ACCEPTED} +0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n +0 read(4, ..., 1) = -1 EWOULDBLOCK (x)`;
    expect(told(judge(script))).toBe("pass");
  });
});
