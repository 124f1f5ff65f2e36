/** A native promise for whatever `fn` does, throwing included. */
export function callPromise<T> (fn: () => Promise<T>): Promise<T> {
  try {
    const result = fn()
    return result instanceof Promise ? result : Promise.resolve(result)
  } catch (error) {
    return Promise.reject(error)
  }
}
