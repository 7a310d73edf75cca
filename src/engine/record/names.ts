/**
 * Container names: what is allowed, and the ones given to containers that nobody named, `adjective_surname` as Docker
 * makes them.
 */
import { HuskError } from '../../errors.ts';
import { randomBelow, randomHex } from '../../host/kernel/random.ts';

/** moby names.RestrictedNameChars */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
/** Docker has no bound; a name is also a folder, a host name and a table cell */
const MAX_NAME = 255;

const ADJECTIVES =
  'able amber ample apt bold brave brief bright brisk calm candid chief civil clear clever cosy crisp curious dapper daring deft eager early earnest easy fair famous fancy fast fine firm fleet fond frank free fresh frosty gentle glad golden grand great happy hardy hearty honest humble jolly keen kind lively loyal lucid lucky mellow merry mild modest neat nimble noble patient placid plain polite proud quick quiet rapid ready robust rosy sage serene sharp shy silent simple sleek smart snug sober solid spry steady stoic sturdy subtle sunny sure swift tidy tough trim true trusty upbeat valiant vivid warm wise witty zesty'.split(
    ' ',
  );
const SURNAMES =
  'abel agnesi ampere archimedes babbage banach bardeen bernoulli bohr boole borg brahe cannon cantor cauchy cavendish clarke codd conway cori coulomb curie darwin davy descartes dijkstra dirac edison einstein engelbart erdos euclid euler faraday fermat fermi feynman fourier franklin galileo galois gauss germain goedel goodall hamilton hawking heisenberg herschel hertz hilbert hodgkin hopper hubble huygens hypatia johnson joule kepler kernighan khayyam knuth kovalevskaya lagrange lamarr laplace leavitt leibniz liskov lovelace maxwell meitner mendel mirzakhani moore morse napier nash neumann newton nobel noether ohm pascal pasteur pauling planck poincare ptolemy ramanujan riemann ritchie rosalind rutherford sagan shannon shockley sinoussi tesla thompson torvalds turing volta wiles wilson wozniak wright yalow'.split(
    ' ',
  );

/** @throws HuskError `invalid` with Docker's text */
export function checkName(name: string): string {
  const plain = name.startsWith('/') ? name.slice(1) : name;
  if (!NAME.test(plain) || plain.length > MAX_NAME)
    throw new HuskError(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`, {
      kind: 'invalid',
      exitCode: 125,
    });
  return plain;
}

/** A free name; a digit is appended when the dice keep giving taken ones. */
export function generateName(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; attempt < 100; attempt++) {
    const name = `${ADJECTIVES[randomBelow(ADJECTIVES.length)]}_${SURNAMES[randomBelow(SURNAMES.length)]}${attempt < 6 ? '' : randomBelow(10 ** Math.min(6, attempt - 5))}`;
    if (!isTaken(name)) return name;
  }
  return generateId().slice(0, 12);
}

/** 64 lower-case hex digits, never all decimal in the first 12: such a host name would read as a number */
export function generateId(): string {
  for (;;) {
    const id = randomHex(32);
    if (!/^\d{12}/.test(id)) return id;
  }
}
