import type { HookAnswer, HookVerdict } from '../../core/hooks/hook-answer.ts'
import { type HookQuestion, mayBeKept } from '../../core/hooks/hook-question.ts'
import { LRUCache } from '../lru.ts'

/** How late the end of an answer may be noticed: the library sets a timer that often, and one a millisecond is felt. */
const TTL_RESOLUTION_MS = 100

/** Sets of fields that hooks read. One that reads other fields each time has nothing to gain from a cache. */
const SHAPES_MAX = 16

interface Shape {
  readonly fields: readonly string[]
  readonly answers: LRUCache<string, HookVerdict>
}

/**
 * Answers that hooks said may be kept, by the values of exactly the fields that were read for them. A request that is equal in these
 * leads the same code down the same way, so it reads the same and gets the same answer; which other fields there are cannot matter.
 */
export class AnswerCache {
  readonly #entries: number
  readonly #shapes = new Map<string, Shape>()

  constructor(entries: number) {
    this.#entries = entries
  }

  find(question: HookQuestion): HookVerdict | undefined {
    for (const { fields, answers } of this.#shapes.values()) {
      const verdict = answers.get(keyOf(question, fields))
      if (verdict !== undefined) return verdict
    }
    return undefined
  }

  add(question: HookQuestion, { verdict, keep }: HookAnswer): void {
    if (keep === undefined || !keep.read.every(mayBeKept)) return
    const name = keep.read.join('\n')
    let shape = this.#shapes.get(name)
    if (shape === undefined) {
      if (this.#shapes.size >= SHAPES_MAX) return
      shape = {
        fields: keep.read,
        answers: new LRUCache({ max: this.#entries, ttlAutopurge: false, ttlResolution: TTL_RESOLUTION_MS }),
      }
      this.#shapes.set(name, shape)
    }
    shape.answers.set(keyOf(question, shape.fields), verdict, { ttl: keep.seconds * 1000 })
  }
}

/** With its length before it, no value can pass for another with its neighbour. */
function keyOf(question: HookQuestion, fields: readonly string[]): string {
  let key = ''
  for (const field of fields) {
    const value = question.valueOf(field)
    key += value === undefined ? '-' : `${value.length}:${value}`
  }
  return key
}
