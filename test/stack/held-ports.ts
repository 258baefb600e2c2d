/** A port holder that remembers, and refuses on demand. Holding twice or releasing what is not held throws. */
import type { PortHolder } from "../../src/stack/config.js";
import { formatEndpoint, type IpAddress } from "../../src/wire/address.js";

export class HeldPorts implements PortHolder {
  readonly held = new Set<string>();
  readonly log: string[] = [];
  /** Ports that are not to be had, and why. */
  readonly refuse = new Map<number, Error>();
  /** Ports that were asked for, refused ones included. */
  readonly asked: number[] = [];

  hold(address: IpAddress, port: number): void {
    this.asked.push(port);
    const error = this.refuse.get(port);
    if (error !== undefined) throw error;
    const name = formatEndpoint(address, port);
    if (this.held.has(name)) throw new Error(`${name} is held twice`);
    this.held.add(name);
    this.log.push(`hold ${name}`);
  }

  release(address: IpAddress, port: number): void {
    const name = formatEndpoint(address, port);
    if (!this.held.delete(name)) throw new Error(`${name} is released, but not held`);
    this.log.push(`release ${name}`);
  }
}
