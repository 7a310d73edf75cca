/**
 * man-pages FOLDER: writes husk's manual pages there (setup/man-page.ts). Their date is SOURCE_DATE_EPOCH's, else
 * today's.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VERSION } from '../src/version.ts';
import { manualPages } from './man-page.ts';

const [, , folder] = process.argv;
if (folder === undefined) throw new Error('usage: man-pages FOLDER');
const seconds = process.env['SOURCE_DATE_EPOCH'];
const date = (seconds === undefined ? new Date() : new Date(Number(seconds) * 1000)).toISOString().slice(0, 10);
mkdirSync(folder, { recursive: true });
for (const { file, text } of manualPages({ version: VERSION, date })) writeFileSync(join(folder, file), text);
