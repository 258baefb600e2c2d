/**
 * CLOSE with SO_LINGER, which keeps its thread until all is acknowledged or the time is over (socket(7)): made in a thread of Node's pool,
 * so that the calling one can go on sending what the kernel waits for.
 */
import { readFileSync, readlinkSync } from "node:fs";
import type { SystemCalls } from "./system-calls.js";

/** Begins it. The answer tells whether the kernel still waits: it keeps the socket's inode until then. */
export function beginLingeringClose(calls: SystemCalls, fd: number): () => boolean {
  const [inode] = /\d+/.exec(readlinkSync(`/proc/self/fd/${fd}`)) ?? [];
  calls.closeInPool(fd);
  return () => inode !== undefined && TABLES.some((table) => inodesOf(table).has(inode));
}

/** Of the thread's own network namespace. */
const TABLES = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] as const;
/** Its place in a line of those tables (proc_pid_net(5)). */
const INODE_FIELD = 9;

function inodesOf(table: string): ReadonlySet<string | undefined> {
  const lines = readFileSync(table, "latin1").split("\n").slice(1);
  return new Set(lines.map((line) => line.trim().split(/\s+/)[INODE_FIELD]));
}
