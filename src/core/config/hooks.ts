import { z } from '../schema.ts'
import { count } from './fields.ts'

/** What the JavaScript of a hook may take when nothing else is said: small functions, with room for a list or two. */
const HEAP_BYTES = 67_108_864

export const hooks = z
  .strictObject({
    files: z
      .array(z.string().min(1))
      .max(32)
      .default([])
      .describe('modules that export `defineHook({ ... })`, TypeScript or JavaScript, asked in this order; see docs/hooks.md'),
    mayAllow: z
      .boolean()
      .default(false)
      .describe('whether a hook may let through what no entry lists; what a deny rule refuses stays refused'),
    timeoutMs: z
      .int()
      .min(1)
      .max(60_000)
      .default(50)
      .describe('a hook that has not answered by then has failed, and the request is refused (milliseconds)'),
    heapBytes: z
      .int()
      .min(16_777_216)
      .max(17_179_869_184)
      .default(HEAP_BYTES)
      .describe('memory for the code and data of all hooks, buffers included; past that their process is replaced (bytes)'),
    waiting: count(1_000, 'requests that wait for an answer at once; one more is refused'),
    cacheEntries: count(10_000, 'answers kept of those that a hook says may be kept'),
  })
  .prefault({})
  .describe("the operator's own code, asked about each request after the policy; absent files cost nothing")
