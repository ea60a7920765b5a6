import { afterAll, describe, expect, it } from 'vitest'
import { loadNative } from '../../../src/io/relay/load-native.ts'
import { SpliceRelay } from '../../../src/io/relay/splice-relay.ts'
import { relaySuite } from './relay-suite.ts'

const native = loadNative()
if (!native.ok && process.env['CI']) throw new Error(`the kernel relay must load in CI: ${native.error}`)

if (native.ok) {
  const relay = new SpliceRelay(native.value, { onTaken: () => {}, onTrouble: () => {} })
  afterAll(() => relay.close())
  relaySuite('the kernel relay', (client, origin, options) => relay.start(client, origin, options))
} else {
  describe.skip(`the kernel relay (${native.error})`, () => {
    it('is not there', () => expect(native.ok).toBe(true))
  })
}
