/** The value of a key, made where there is none yet. */
export function entry<K, V>(entries: Map<K, V>, key: K, make: () => V): V {
  let found = entries.get(key);
  if (found === undefined) entries.set(key, (found = make()));
  return found;
}
