/** `baseMs × 2^attempt`, at most `capMs`. The first attempt is 0. */
export function exponential (attempt: number, baseMs: number, capMs: number): number {
  // 2 ** 1024 is Infinity and 0 × Infinity is NaN, so the exponent is bounded, not only the product.
  return Math.min(capMs, baseMs * 2 ** Math.min(attempt, 1000))
}

/**
 * Anywhere between 0 and the exponential delay: spreads a herd of clients best.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function fullJitter (attempt: number, baseMs: number, capMs: number, random: () => number = Math.random): number {
  return random() * exponential(attempt, baseMs, capMs)
}

/** Between half the exponential delay and all of it: for pauses that must not shrink to nothing. */
export function equalJitter (attempt: number, baseMs: number, capMs: number, random: () => number = Math.random): number {
  const halfMs = exponential(attempt, baseMs, capMs) / 2
  return halfMs + random() * halfMs
}
