import { PortableRelay } from '../../../src/io/relay/portable-relay.ts'
import { relaySuite } from './relay-suite.ts'

const relay = new PortableRelay(() => {})
relaySuite('the portable relay', (client, origin, options) => relay.start(client, origin, options))
