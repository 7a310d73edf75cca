/** The projects of test/engine/build/projects.ts, with every RUN in a virtual machine. */
import { huskBeside } from '../engine/build/golden-case.ts';
import { testProjects } from '../engine/build/projects.ts';
import test from 'ava';
import { missingParts, notByItself, onKvmHost } from './kvm-host.ts';

const SECONDS = 3000;

const reason = notByItself() ?? missingParts();
if (reason === undefined) await onKvmHost(import.meta.url, () => testProjects(huskBeside, 'vm'), { seconds: SECONDS });
else test.skip(`projects in virtual machines: ${reason}`, () => {});
