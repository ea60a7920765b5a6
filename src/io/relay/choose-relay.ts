import type { RelaySetting } from '../../core/config.ts'
import { loadNative } from './load-native.ts'
import { PortableRelay } from './portable-relay.ts'
import type { Relay } from './relay.ts'
import { SpliceRelay, type SpliceRelayOptions } from './splice-relay.ts'

export interface RelayChoice extends SpliceRelayOptions {
  /** Called with the reason where the portable relay stands in: the same service for more of the processor. */
  readonly onStandIn: (because: string) => void
}

/** `auto` is the kernel relay where it was built. */
export function chooseRelay(setting: RelaySetting, { onStandIn, ...options }: RelayChoice): Relay {
  if (setting === 'portable') return new PortableRelay(options.onTaken)
  const native = loadNative()
  if (native.ok) {
    try {
      return new SpliceRelay(native.value, options)
    } catch (error) {
      onStandIn(error instanceof Error ? error.message : String(error))
    }
  } else onStandIn(native.error)
  return new PortableRelay(options.onTaken)
}
