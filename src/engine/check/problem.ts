/** What a part of `system check` says about a data root. A type only. */
import type { Finding } from '../contract.ts';

/** What was found, and how it would be mended. */
export interface Problem {
  kind: Finding['kind'];
  name: string;
  problem: string;
  /** absent: husk cannot */
  repair?: { what: string; run: () => void | Promise<void> };
  /** what a person must do, also after the repair */
  fix?: string;
}
