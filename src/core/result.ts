/** An expected outcome: either a value or the reason there is none. Thrown errors are kept for bugs. */
export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E }

export function ok<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value }
}

export function err<E>(error: E): { readonly ok: false; readonly error: E } {
  return { ok: false, error }
}

/** Ends a switch over a closed union: the compiler refuses it while a variant is missing, and at run time it fails closed. */
export function assertNever(value: never): never {
  throw new Error(`unknown variant ${JSON.stringify(value)}`)
}
