/** Commands of scripts, taken apart and read; nothing is ever run. */
import { describe, expect, it } from "vitest";
import { pipelinesOf } from "../../src/script/shell.js";
import { commandTime, readCommand, sysctlsOf } from "../../src/script/sysctl.js";

const wordsOf = (text: string) => pipelinesOf(text).map((pipeline) => pipeline.map(({ words }) => [...words]));

describe("a shell's language", () => {
  it.each<[string, string[][][]]>([
    ["a b; c", [[["a", "b"]], [["c"]]]],
    ["a && b\nc & d", [[["a"]], [["b"]], [["c"]], [["d"]]]],
    ["a 'b c' \"d e\"f\\ g", [[["a", "b c", "d ef g"]]]],
    ["a \\\n  b # c", [[["a", "b"]]]],
    ["a | b | c", [[["a"], ["b"], ["c"]]]],
    ["a > /dev/null 2>&1 < in", [[["a"]]]],
    ["a || b || c && d", [[["a"]], [["d"]]]],
    ["a | grep -q b || c; a | tee f || d; test -e g || h; a | grep i", [[["a"]], [["a"], ["tee", "f"]], [["a"], ["grep", "i"]]]],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's.
    ["X=1 Y='2 3'; a $X ${Y} '$X' $Z", [[["a", "1", "2 3", "$X", "$Z"]]]],
    ["X=1 a", [[["a"]]]],
    ["sudo -E env A=1 timeout -k 1 5 a b", [[["5", "a", "b"]]]],
    ["timeout 5 a b", [[["a", "b"]]]],
    ["ip netns exec ns a b", [[["a", "b"]]]],
    ["sh -c 'a b; c'", [[["a", "b"], ["c"]]]],
    ["# nothing", []],
    ["", []],
  ])("%j", (text, words) => {
    expect(wordsOf(text)).toEqual(words);
  });

  it.each([
    ["if true; then a; fi", '"if" of a shell'],
    ["for x in 1 2; do a; done", '"for" of a shell'],
    ["a $(b)", '"$(" of a shell'],
    ["(a)", '"(" of a shell'],
    ["a 'b", "a ' of a shell without its end"],
  ])("%j is more than that", (text, feature) => {
    expect(() => pipelinesOf(text)).toThrow(`not supported: ${feature}`);
  });
});

describe("what a command asks for", () => {
  it.each([
    ["sysctl -q net.ipv4.tcp_sack=0"],
    ["/sbin/sysctl -qw net/ipv4/tcp_sack=0"],
    ["sudo sysctl -e -w net.ipv4.tcp_sack='0' > /dev/null 2>&1 || true"],
    ["echo 0 > /proc/sys/net/ipv4/tcp_sack"],
    ["echo -n 0 | sudo tee -a /proc/sys/net/ipv4/tcp_sack"],
    ["printf '0\\n' >/proc/sys/net/ipv4/tcp_sack"],
    ["../common/set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0"],
    ["ip netns exec x sysctl net.ipv4.tcp_sack=0"],
    ["V=0; sysctl net.ipv4.tcp_sack=$V"],
    ["sysctl net.ipv4.tcp_timestamps; sysctl net.ipv4.tcp_sack=0 # comment"],
  ])("%s sets a sysctl", (text) => {
    expect(readCommand(text).connection).toEqual({ sack: false });
    expect(sysctlsOf(text)).toEqual([["net.ipv4.tcp_sack", "0"]]);
  });

  it("takes the dots of a device's name for what they are", () => {
    expect(sysctlsOf("sysctl net/ipv4/conf/eth0.1/rp_filter=0")).toEqual([["net.ipv4.conf.eth0/1.rp_filter", "0"]]);
  });

  it.each([
    ["ip route change 192.0.2.0/24 dev tun0 initcwnd 20 initrwnd 4", { initialWindowSegments: 20, initialReceiveSegments: 4 }],
    ["ip -6 ro replace default dev tun0 mtu lock 1400 advmss 1000", { mtuBytes: 1400, mssBytes: 1000 }],
    ["ip r add 192.0.2.1 via 10.0.0.1 rto_min 5ms quickack 1", { rtoMinUs: 5000, acknowledgesAtOnce: true }],
    ["ip route change default rto_min 1s features ecn", { rtoMinUs: 1_000_000, ecn: "on" }],
    ["ip route change default window 5000 hoplimit 9 reordering 7", { windowClampBytes: 5000, ttl: 9, reorderingSegments: 7 }],
    ["ip route del default; ip route show", {}],
    ["ip link set dev tun0 mtu 1280", { mtuBytes: 1280 }],
    ["ip link set lo mtu 65536", {}],
    ["ip addr add 10.0.0.1/8 dev tun0", {}],
    ["ifconfig tun0 inet 10.0.0.1 mtu 1300 up", { mtuBytes: 1300 }],
    ["route change 192.0.2.1 -mtu 1200", { mtuBytes: 1200 }],
    ["tc qdisc replace dev tun0 root fq; tc qdisc show", {}],
    ["iptables -F; iptables -D INPUT 1", {}],
    ["nstat -n; ss -tin > /dev/null; modprobe tcp_dctcp; :; true", {}],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's.
    ["/tmp/sysctl_restore_${PPID}.sh", {}],
    ["sysctl -q net.core.somaxconn=9 net.ipv4.conf.all.rp_filter=0 kernel.printk=1 net.ipv6.conf.all.accept_dad=0", {}],
  ])("%s", (text, connection) => {
    expect(readCommand(text).connection).toEqual(connection);
  });

  it.each([
    ["tcp_retries2=15", { r2Us: 924_600_000 }],
    ["tcp_retries2=3", { r2Us: 3_000_000 }],
    ["tcp_orphan_retries=0", { orphanTimeoutUs: 102_200_000 }],
    ["tcp_rto_min_us=5000", { rtoMinUs: 5000 }],
    ["tcp_rto_max_ms=5000", { rtoMaxUs: 5_000_000 }],
    ["tcp_dsack=0", { dsack: false }],
    ["tcp_moderate_rcvbuf=0", { tunesReceiveBuffer: false }],
    ["tcp_frto=0", { forwardRto: false }],
    ["tcp_reordering=9", { reorderingSegments: 9 }],
    ["tcp_reflect_tos=1", { reflectsTos: true }],
    ["tcp_thin_linear_timeouts=1", { thinLinearTimeouts: true }],
    ["tcp_min_snd_mss=100", { leastPeerMss: 100 }],
    ["tcp_base_mss=500", { mtuBaseMss: 500 }],
  ])("sysctl net.ipv4.%s", (text, connection) => {
    expect(readCommand(`sysctl -q net.ipv4.${text}`).connection).toEqual(connection);
  });

  it("what belongs to the whole stack", () => {
    const { stack } = readCommand(
      'sysctl net.ipv4.tcp_syncookies=2 net.ipv4.ip_local_port_range="1000 2000" net.ipv4.tcp_fastopen_key=1-2-3-a1b2c3d4',
    );
    const fastOpenKey = Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0xd4, 0xc3, 0xb2, 0xa1);
    expect(stack).toEqual({ synCookies: "always", ephemeralPorts: [1000, 2000], fastOpenKey });
    expect(readCommand("ip tcp_metrics flush all").forgetsPeers).toBe(true);
    expect(readCommand("ip tcp_metrics show").forgetsPeers).toBe(false);
  });

  it.each([
    ["tc qdisc add dev tun0 root netem delay 10ms", 'the command "tc qdisc netem"'],
    ["tc qdisc add dev tun0 root fq maxrate 1mbit", 'the command "tc qdisc fq maxrate"'],
    ["tc filter add dev tun0", 'the command "tc filter"'],
    ["ip route add blackhole 192.0.2.1", 'the command "ip route blackhole"'],
    ["ip route change default ssthresh 5", "the metric ssthresh of a route"],
    ["ip route change default initcwnd many", "the metric initcwnd many"],
    ["ip link set tun0 down", 'the command "ip link set down"'],
    ["ip xfrm state add", 'the command "ip xfrm"'],
    ["iptables -A INPUT -j DROP", "the command iptables"],
    ["nstat | grep -q TcpExt", 'the command "nstat | grep -q TcpExt"'],
    ["sysctl -p file", 'the command "sysctl -p file"'],
    ["./other.sh a", 'the command "./other.sh a"'],
    ["sysctl net.ipv4.tcp_probe_threshold=500", "sysctl net.ipv4.tcp_probe_threshold=500"],
    ["sysctl net.ipv4.tcp_fastopen_key=x", "sysctl net.ipv4.tcp_fastopen_key=x"],
    ["sysctl net.ipv4.tcp_sack=$Y", "sysctl net.ipv4.tcp_sack=$Y: a variable of a shell"],
    ["sysctl net.ipv4.tcp_nothing=1", "sysctl net.ipv4.tcp_nothing"],
  ])("%s is told", (text, feature) => {
    expect(() => readCommand(text)).toThrow(`not supported: ${feature}`);
  });

  it("a route has metrics that a kernel is not given", () => {
    expect(() => sysctlsOf("ip route change default initcwnd 5")).toThrow("on a kernel");
    expect(sysctlsOf("ip route show")).toEqual([]);
  });

  it("sleep takes its time", () => {
    expect(commandTime("sleep 1.5; usleep 200 && sleep 1m")).toBe(61_500_200);
    expect(commandTime("sysctl a=b")).toBe(0);
  });
});
