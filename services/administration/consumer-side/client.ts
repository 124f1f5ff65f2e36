import { AdministrationTimeout } from '../errors.ts'

/** The part of an ioredis client, `Redis` or `Cluster`, that the administration uses. */
export interface QueueClient {
  readonly isCluster: boolean
  llen (key: string): Promise<number>
  hlen (key: string): Promise<number>
  zcard (key: string): Promise<number>
  xlen (key: string): Promise<number>
  lrangeBuffer (key: string, start: number, stop: number): Promise<Buffer[]>
  hgetallBuffer (key: string): Promise<Record<string, Buffer>>
  eval (script: string, keyCount: number, ...keysAndArguments: (string | number | Buffer)[]): Promise<unknown>
}

/** Bounds a call that may have no deadline of its own. @throws FST_BRK_ADMINISTRATION_TIMEOUT */
export async function answered<T> (call: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new AdministrationTimeout(timeoutMs)), timeoutMs)
  })
  try {
    return await Promise.race([call, expiry])
  } finally {
    clearTimeout(timer)
  }
}

/** For an answer: what went wrong, without stack or cause. */
export function reasonOf (err: unknown): string {
  return err instanceof Error ? err.message.slice(0, 500) : String(err)
}
