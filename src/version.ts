/** husk's own version; package.json has the same (test/cli/main.test.ts). */
export const VERSION = '0.1.0';
