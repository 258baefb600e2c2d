/** Ports as they are typed: "22,80,8000-8010", "80", "++80", "-" for all. */

/** Which port the nth packet has. */
export type PortPlan =
  /** Every port of the list in turn. */
  | { readonly kind: "list"; readonly ports: readonly number[] }
  /** hping's ++N: one more with each packet. */
  | { readonly kind: "counting"; readonly first: number };

const MAX_PORT = 65_535;

/** Reads ports. Throws Error that names the piece which is none. */
export function parsePorts(text: string): PortPlan {
  const counting = /^\+{1,2}(\d+)$/.exec(text);
  if (counting !== null) return { kind: "counting", first: portOf(counting[1] ?? "", text) };
  const ports = new Set<number>();
  for (const piece of text.split(",")) {
    const match = /^(\d*)(-?)(\d*)$/.exec(piece.trim());
    if (match === null || piece.trim() === "") throw wrong(piece, text);
    const [, from = "", dash = "", to = ""] = match;
    const first = portOf(from === "" ? "1" : from, text);
    const last = dash === "" ? first : portOf(to === "" ? String(MAX_PORT) : to, text);
    if (last < first) throw new Error(`"${piece}": the range ends before it begins`);
    for (let port = first; port <= last; port++) ports.add(port);
  }
  return { kind: "list", ports: [...ports] };
}

/** The port of the packet with this number, counted from 0, of a plan that counts. */
export function countingPort(first: number, index: number): number {
  return (first + index) % (MAX_PORT + 1);
}

function portOf(digits: string, text: string): number {
  const port = Number(digits);
  if (/^\d+$/.test(digits) && port <= MAX_PORT) return port;
  throw wrong(digits, text);
}

function wrong(piece: string, text: string): Error {
  return new Error(
    `"${piece}"${piece === text ? "" : ` in "${text}"`} is no port: expected 0-65535, a range such as 8000-8010, a list with commas, or ++80`,
  );
}
