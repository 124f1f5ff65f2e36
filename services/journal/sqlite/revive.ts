import createError from '@fastify/error'
import type { FastifyErrorConstructor } from '@fastify/error'
import { StoreUnavailable } from '../errors.ts'
import type { Outcome } from './group.ts'

type CodedConstructor = FastifyErrorConstructor<{ code: string, statusCode: number }, [string]>

const constructors = new Map<string, CodedConstructor>()

/** The error as it was thrown in the worker: same code, status and message, and `instanceof` its class. */
export function revive ({ code, message, statusCode }: Outcome & { ok: false }): Error {
  if (code === null) return new StoreUnavailable(message)
  let Coded = constructors.get(code)
  if (Coded === undefined) {
    Coded = createError(code, '%s', statusCode) as CodedConstructor
    constructors.set(code, Coded)
  }
  return new Coded(message)
}
