/** Who listens to what. Each gateway has one of its own; a listener that throws is told of in the log and keeps nobody else from hearing. */
export class TypedEvents<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>()
  readonly #onError: (event: keyof Events, error: unknown) => void

  constructor(onError: (event: keyof Events, error: unknown) => void) {
    this.#onError = onError
  }

  /** Gives back what takes the listener off again. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners)
    // One of its own, so that the same function can listen twice.
    const own = (event: never) => listener(event)
    listeners.add(own)
    return () => void listeners.delete(own)
  }

  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(event as never)
      } catch (error) {
        this.#onError(name, error)
      }
    }
  }
}
