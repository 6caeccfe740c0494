"""The crate's random numbers in NumPy: ChaCha with 8 rounds, seeded and read as rand_chacha 0.3 and rand 0.8 do.

A stream is named: the hash of its name is ChaCha's nonce, as in src/stats/random.rs.
"""
import numpy as np

U32, U64 = 2**32 - 1, 2**64 - 1
COLUMNS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
DIAGONALS = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def key(seed):
    """Eight words by PCG32 from a seed of 64 bits: rand_core's seed_from_u64."""
    for _ in range(8):
        seed = (seed * 6364136223846793005 + 11634580027462260723) & U64
        word, turn = (((seed >> 18) ^ seed) >> 27) & U32, seed >> 59
        yield (word >> turn | word << (32 - turn)) & U32


def fnv1a(name):
    code = 0xCBF29CE484222325
    for byte in name.encode():
        code = ((code ^ byte) * 0x100000001B3) & U64
    return code


def words(seed, stream, count):
    """The first `count` words of 32 bits."""
    counter, nonce = np.arange(-(-count // 16), dtype=np.uint64), fnv1a(stream)
    fixed = [*np.frombuffer(b"expand 32-byte k", "<u4"), *key(seed)]
    counters = [counter & np.uint64(U32), counter >> np.uint64(32)]
    state = [np.full(len(counter), word, np.uint32) for word in fixed]
    state += [half.astype(np.uint32) for half in counters]
    state += [np.full(len(counter), word, np.uint32) for word in (nonce & U32, nonce >> 32)]
    mixed = [word.copy() for word in state]
    for _ in range(4):
        for a, b, c, d in COLUMNS + DIAGONALS:
            for to, by, turned, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                mixed[to] += mixed[by]
                mixed[turned] ^= mixed[to]
                mixed[turned] = mixed[turned] << np.uint32(turn) | mixed[turned] >> np.uint32(32 - turn)
    return np.stack([a + b for a, b in zip(mixed, state)], 1).ravel()[:count]


def draw_below(bound, count, seed, stream):
    """`count` whole numbers from 0 to below `bound`: rand's gen_range(0..bound) of u32, which rejects some words."""
    zone, asked = np.uint64((bound << (32 - bound.bit_length())) - 1), count + 64
    while True:
        products = words(seed, stream, asked).astype(np.uint64) * np.uint64(bound)
        drawn = products[products & np.uint64(U32) <= zone] >> np.uint64(32)
        if len(drawn) >= count:
            return drawn[:count].astype(int)
        asked *= 2


def resamples(clusters, draws, seed):
    """How often each cluster is drawn, [draws, clusters], as in src/stats/bootstrap.rs."""
    drawn = draw_below(clusters, draws * clusters, seed, "bootstrap").reshape(draws, clusters)
    return np.stack([np.bincount(row, minlength=clusters) for row in drawn])


def signs(clusters, flips, seed):
    """+1 or -1, [flips, clusters], as in src/stats/sign_flip.rs: every pattern once where these are no more than
    `flips`, else by the top bit of each word, rand's gen::<bool>()."""
    if 2**clusters <= flips:
        return 1 - 2 * (np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1)
    negative = words(seed, "sign flips", flips * clusters) >> np.uint32(31) == 0
    return 1 - 2 * negative.reshape(flips, clusters).astype(int)


def normals(draws, count, seed, stream):
    """Standard normal numbers, [draws, count], as in src/stats/random.rs: by Box and Muller, of pairs of fractions of 53 bits."""
    low, high = words(seed, stream, 4 * draws * -(-count // 2)).astype(np.uint64).reshape(-1, 2).T
    radius, turn = ((high << np.uint64(32) | low) >> np.uint64(11)).astype(float).reshape(-1, 2).T * 2.0**-53
    radius, turn = np.sqrt(-2 * np.log(1 - radius)), 2 * np.pi * turn
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1).reshape(draws, -1)[:, :count]
