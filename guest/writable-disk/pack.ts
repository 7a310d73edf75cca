/** pack.ts SPARSE PACKED: see build. */
import { packSparse } from '../../src/vmm/sparse-template.ts';

packSparse(process.argv[2]!, process.argv[3]!);
