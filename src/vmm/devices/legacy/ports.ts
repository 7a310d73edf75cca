/**
 * The guest's I/O ports: the serial transmitter, and the keyboard controller's reset line, by which Linux reboots
 * (`reboot=k`) and so ends the VM. Every other port reads as all ones, as an empty bus does, and ignores writes.
 */
import { SERIAL_PORT, SERIAL_PORTS, type Serial } from './serial.ts';

/** IBM PC AT: the 8042's status and command port */
const KEYBOARD_COMMAND = 0x64;
const PULSE_RESET = 0xfe;

export class Ports {
  readonly #serial: Serial;
  readonly #reset: () => void;

  constructor(options: { serial: Serial; reset: () => void }) {
    this.#serial = options.serial;
    this.#reset = options.reset;
  }

  read(port: number, size: number): number {
    if (port >= SERIAL_PORT && port < SERIAL_PORT + SERIAL_PORTS && size === 1)
      return this.#serial.read(port - SERIAL_PORT);
    // Zero says "input buffer empty", for which Linux waits before it pulses the reset line.
    if (port === KEYBOARD_COMMAND) return 0;
    return 2 ** (8 * size) - 1;
  }

  write(port: number, size: number, value: number): void {
    if (port >= SERIAL_PORT && port < SERIAL_PORT + SERIAL_PORTS && size === 1)
      this.#serial.write(port - SERIAL_PORT, value);
    else if (port === KEYBOARD_COMMAND && (value & 0xff) === PULSE_RESET) this.#reset();
  }
}
