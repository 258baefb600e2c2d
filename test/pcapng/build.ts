/** Hand-made capture files for tests, in either byte order: written apart from `src/pcapng/writer.ts`, which knows one alone. */

export class FileBuilder {
  readonly #bytes: number[] = [];
  readonly littleEndian: boolean;

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian;
  }

  get length(): number {
    return this.#bytes.length;
  }

  u8(...values: number[]): this {
    this.#bytes.push(...values);
    return this;
  }

  u16(value: number): this {
    const pair = [value >>> 8, value & 255];
    return this.u8(...(this.littleEndian ? pair.reverse() : pair));
  }

  u32(value: number): this {
    const word = [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
    return this.u8(...(this.littleEndian ? word.reverse() : word));
  }

  /** A pcapng block with the given body, padded to 32 bits. */
  block(type: number, body: (b: FileBuilder) => void): this {
    const inner = new FileBuilder(this.littleEndian);
    body(inner);
    while (inner.length % 4 !== 0) inner.u8(0);
    const total = inner.length + 12;
    this.u32(type).u32(total);
    this.#bytes.push(...inner.#bytes);
    return this.u32(total);
  }

  option(code: number, value: readonly number[]): this {
    this.u16(code)
      .u16(value.length)
      .u8(...value);
    while (this.length % 4 !== 0) this.u8(0);
    return this;
  }

  section(options: (b: FileBuilder) => void = () => {}): this {
    return this.block(0x0a0d0d0a, (b) => {
      b.u32(0x1a2b3c4d).u16(1).u16(0).u32(0xffffffff).u32(0xffffffff);
      options(b);
    });
  }

  interface(linkType: number, snapLen: number, options: (b: FileBuilder) => void = () => {}): this {
    return this.block(1, (b) => {
      b.u16(linkType).u16(0).u32(snapLen);
      options(b);
    });
  }

  enhancedPacket(
    interfaceId: number,
    high: number,
    low: number,
    data: readonly number[],
    options: (b: FileBuilder) => void = () => {},
  ): this {
    return this.block(6, (b) => {
      b.u32(interfaceId)
        .u32(high)
        .u32(low)
        .u32(data.length)
        .u32(data.length)
        .u8(...data);
      while (b.length % 4 !== 0) b.u8(0);
      options(b);
    });
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
