/**
 * Readers of option values. They are functions of our own rather than yargs' types: "abc" for a number must come back in the
 * message as it was typed, and an empty word is no zero.
 */
import { tryParseAddress } from "../wire/address.js";

/** Reads a whole number; the error names the option, what was typed, and what may be. */
export function wholeNumber(name: string, least: number, most: number): (typed: unknown) => number {
  return (given) => {
    const typed = lastOf(given);
    const value = /^\d+$/.test(String(typed)) ? Number(typed) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new Error(`${name}: "${shown(typed)}" is not a whole number from ${least} to ${most}`);
  };
}

export function seconds(name: string, least: number, most: number): (typed: unknown) => number {
  return (given) => {
    const typed = lastOf(given);
    const value = /^\d+(\.\d*)?$|^\.\d+$/.test(String(typed)) ? Number(typed) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new Error(`${name}: "${shown(typed)}" is not a number of seconds from ${least} to ${most}`);
  };
}

export function oneOf<T extends string>(name: string, choices: readonly T[]): (typed: unknown) => T {
  return (given) => {
    const typed = lastOf(given);
    const found = choices.find((choice) => choice === typed);
    if (found !== undefined) return found;
    throw new Error(`${name}: "${shown(typed)}" is none of ${choices.join(", ")}`);
  };
}

export function words(name: string, what: string): (typed: unknown) => string {
  return (given) => {
    const typed = lastOf(given);
    if (typeof typed === "string" && typed.trim() !== "") return typed;
    throw new Error(`${name}: "${shown(typed)}" is no ${what}`);
  };
}

export function ipAddress(name: string): (typed: unknown) => string {
  return (given) => {
    const typed = lastOf(given);
    if (typeof typed === "string" && tryParseAddress(typed) !== undefined) return typed;
    throw new Error(`${name}: "${shown(typed)}" is not an IP address`);
  };
}

/** An option given twice comes as a list where a command takes lists (see `parserFor`); the last one counts. */
function lastOf(given: unknown): unknown {
  return Array.isArray(given) ? given.at(-1) : given;
}

/** What was typed, on one line. `--no-mss` comes as false. */
export function shown(typed: unknown): string {
  return typed === false ? "no" : String(typed).replace(/\s+/g, " ");
}
