/**
 * A 16550's transmitter at COM1, for the kernel's messages before it has a virtio console (`earlyprintk=ttyS0`,
 * `console=ttyS0`). The port never receives anything and raises no interrupt, because Linux polls it.
 */

/** offsets from the port base; PC16550D datasheet, table 2 */
const DATA = 0;
const INTERRUPT_ENABLE = 1;
const INTERRUPT_ID = 2;
const LINE_CONTROL = 3;
const MODEM_CONTROL = 4;
const LINE_STATUS = 5;
const MODEM_STATUS = 6;
const SCRATCH = 7;
/** line control: offsets 0 and 1 are the divisor latch */
const DIVISOR_LATCH_ACCESS = 0x80;
const TRANSMITTER_EMPTY = 0x60;
const NO_INTERRUPT_PENDING = 0x01;
const MODEM_PRESENT = 0xb0;

export const SERIAL_PORT = 0x3f8;
export const SERIAL_PORTS = 8;

export interface SerialState {
  registers: number[];
  divisor: number[];
}

export class Serial {
  readonly state: SerialState;
  readonly #output: (byte: number) => void;

  constructor(output: (byte: number) => void, saved?: SerialState) {
    this.#output = output;
    this.state = structuredClone(saved ?? { registers: Array<number>(SERIAL_PORTS).fill(0), divisor: [1, 0] });
  }

  read(offset: number): number {
    if (this.#latched() && offset <= INTERRUPT_ENABLE) return this.state.divisor[offset]!;
    switch (offset) {
      case DATA:
        return 0;
      case INTERRUPT_ID:
        return NO_INTERRUPT_PENDING;
      case LINE_STATUS:
        return TRANSMITTER_EMPTY;
      case MODEM_STATUS:
        return MODEM_PRESENT;
      default:
        return this.state.registers[offset] ?? 0xff;
    }
  }

  write(offset: number, value: number): void {
    const byte = value & 0xff;
    if (this.#latched() && offset <= INTERRUPT_ENABLE) this.state.divisor[offset] = byte;
    else if (offset === DATA) this.#output(byte);
    else if (offset === INTERRUPT_ENABLE || offset === LINE_CONTROL || offset === MODEM_CONTROL || offset === SCRATCH)
      this.state.registers[offset] = byte;
  }

  #latched(): boolean {
    return (this.state.registers[LINE_CONTROL]! & DIVISOR_LATCH_ACCESS) !== 0;
  }
}
