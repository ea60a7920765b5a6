/** The one place that names the library; every bounded map of the gateway that forgets what was used longest ago is this one. */
export { LRUCache } from 'lru-cache'
