import createError from '@fastify/error'

/** An option of a class in this folder is unknown or breaks its rule. The message names the option, the rule and the remedy. */
export const BreakerOptionError = createError('FST_BRK_BREAKER_OPTION', '%s', 500)
export const DeadlineOptionError = createError('FST_BRK_DEADLINE_OPTION', '%s', 500)
export const SamplerOptionError = createError('FST_BRK_SAMPLER_OPTION', '%s', 500)

/** The check did not settle within the sampler's deadline. */
export const SamplerTimeoutError = createError('FST_BRK_SAMPLER_TIMEOUT',
  'The check "%s" did not settle within %s ms. Look at the dependency first; raise timeoutMs only if such a delay is normal for it.', 503)

/** The sampler was stopped while the check ran. */
export const SamplerStoppedError = createError('FST_BRK_SAMPLER_STOPPED',
  'The sampler "%s" was stopped before its check settled. Call start() to sample again.', 503)

/** So many earlier checks still hang that this sample was taken without calling the check. */
export const SamplerHungError = createError('FST_BRK_SAMPLER_HUNG',
  'The check "%s" was not called: %s earlier calls ignored their abort signal and still hang. Make the check settle when its signal aborts.', 503)

const CircuitOpenBase = createError<[name: string]>('FST_BRK_CIRCUIT_OPEN',
  'The circuit "%s" does not let calls through; this one was not tried. Retry after error.retryAfterMs, or close the circuit by hand if the dependency is known to be well.',
  503, Error, false)

export interface CircuitView {
  readonly name: string
  readonly state: string
  readonly retryAfterMs: number
}

/**
 * What a caller gets instead of a call while the circuit is not closed. One object per breaker, made once and without a stack:
 * capturing one costs more than the rest of a rejection, and an outage is when rejections come by the thousand. Hence `state`
 * and `retryAfterMs` read the breaker at the moment they are looked at. Certainly not executed, so safe to retry.
 */
export class CircuitOpenError extends CircuitOpenBase {
  declare readonly state: string
  declare readonly retryAfterMs: number
  readonly notApplied = true

  constructor (circuit: CircuitView) {
    super(circuit.name)
    Object.defineProperties(this, {
      // Own and enumerable, so that log serializers see them.
      state: { get: () => circuit.state, enumerable: true },
      retryAfterMs: { get: () => circuit.retryAfterMs, enumerable: true },
      stack: { value: `${this.name}: ${this.message}`, writable: true, configurable: true }
    })
  }
}
