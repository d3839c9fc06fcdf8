/** fast-check; where SKIPJACK_TEST_SEED is set, as in .ci/run, it draws the same each time. By hand it draws anew. */
import fc from 'fast-check';

const seed = process.env.SKIPJACK_TEST_SEED;
if (seed !== undefined) fc.configureGlobal({ seed: Number(seed) });

export default fc;
