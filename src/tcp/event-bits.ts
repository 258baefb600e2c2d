/** User events as bits of one number, so that telling them allocates nothing. Lower bits are told first. */
import type { ConnectionEvent } from "./events.js";

export const EVENT_ESTABLISHED = 1;
export const EVENT_READABLE = 2;
export const EVENT_WRITABLE = 4;
export const EVENT_URGENT = 8;
export const EVENT_TROUBLE = 16;
export const EVENT_FAILED = 32;
export const EVENT_CLOSED = 64;

export const EVENT_ORDER: readonly (readonly [number, ConnectionEvent])[] = [
  [EVENT_ESTABLISHED, "established"],
  [EVENT_READABLE, "readable"],
  [EVENT_WRITABLE, "writable"],
  [EVENT_URGENT, "urgent"],
  [EVENT_TROUBLE, "trouble"],
  [EVENT_FAILED, "failed"],
  [EVENT_CLOSED, "closed"],
];
