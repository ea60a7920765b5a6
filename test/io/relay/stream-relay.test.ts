import { StreamRelay } from '../../../src/io/relay/stream-relay.ts'
import { relaySuite } from './relay-suite.ts'

relaySuite('the stream relay', (client, origin, options) => new StreamRelay(client, origin, options))
