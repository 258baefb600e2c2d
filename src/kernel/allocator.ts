/**
 * Keeps the C library from giving freed memory back to the kernel at once. What is received is handed to the user in memory of
 * its own; the garbage collector frees it by the 10 MiB, glibc's default unmaps all but 128 KiB of that, and each page of the
 * next 10 MiB faults anew. That cost a receiver 200 ms of system time a gigabyte, more than the copy.
 */
import { mallopt } from "./libc.js";

/** M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, malloc.h of glibc. */
const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;
/** Freed memory that stays with the process at the most: what is received between two collections. */
const KEPT_BYTES = 64 << 20;
/** Smaller pieces come from memory that is kept. glibc itself goes up to here as a program frees larger pieces. */
const LARGEST_KEPT_PIECE_BYTES = 4 << 20;
/** Whoever sets one of these has chosen. */
const USERS_CHOICE = ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"];

let isDone = false;

/**
 * Lets this process keep up to 64 MiB of freed memory. Does nothing the second time, where the user has set the allocator up by
 * its environment (MALLOC_TRIM_THRESHOLD_ and others of mallopt(3)), or where the C library has no such setting (musl). Never throws.
 */
export function keepFreedMemory(environment: Readonly<Record<string, string | undefined>> = process.env): boolean {
  if (isDone || USERS_CHOICE.some((name) => environment[name] !== undefined)) return false;
  isDone = true;
  return mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) && mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_PIECE_BYTES);
}
