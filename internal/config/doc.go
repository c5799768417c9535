// Package config holds every setting of weft in one struct, [Config]: its
// defaults, where a value may come from, and what makes a value wrong.
//
// A value comes from, weakest first: the defaults, a YAML file, the environment
// (WEFT_ and the key in upper case with "." and "-" as "_", so graph.window is
// WEFT_GRAPH_WINDOW), and command-line flags. [Load] merges them and remembers
// which one won, so that an error names the place to correct: the file and line,
// the variable or the flag. A key that weft does not know is an error in a file,
// with the nearest known key; in the environment it is a warning, because
// others (Kubernetes service links, for one) also set variables named WEFT_….
//
// Adding a setting is one line in the struct, with its koanf name and a doc tag,
// and one in [Default] where its zero value is not what is wanted; the
// environment variable, `weft config dump` and [Config.Lookup] follow from it.
// A field tagged secret:"true" is never shown.
//
// Config is a plain value: copy it freely, from any goroutine. Nothing here
// starts a goroutine or keeps state.
package config
