package flow

// Kind says what a Value holds.
type Kind uint8

// The kinds of values.
const (
	KindInt    Kind = iota + 1 // Num
	KindString                 // Str
	KindBool                   // Num is 1 or 0
	KindJSON                   // Str is the JSON of an object or a list
)

// Value is one field of a flow.
type Value struct {
	Kind Kind
	Num  int64
	Str  string
}
