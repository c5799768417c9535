package graphjson

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Message is the envelope of a WebSocket message with its object decoded, where its
// type says that it is an element or a partial update.
type Message struct {
	Namespace string
	Type      string
	UUID      string
	Status    int64

	Content Content
	Element Element // Content is ContentElement
	Partial Partial // Content is ContentPartial
	Obj     []byte  // else: the object's text, a part of the frame; nil when there was none
}

// Content says which field of a Message holds the object.
type Content uint8

// The contents of a Message.
const (
	ContentRaw Content = iota
	ContentElement
	ContentPartial
)

const namespaceGraph = "Graph"

// contentOf says what messages of the type carry.
func contentOf(namespace, kind string) Content {
	if namespace != namespaceGraph {
		return ContentRaw
	}
	switch kind {
	case "NodeAdded", "NodeUpdated", "NodeDeleted", "EdgeAdded", "EdgeUpdated", "EdgeDeleted":
		return ContentElement
	case "NodePartiallyUpdated", "EdgePartiallyUpdated":
		return ContentPartial
	}
	return ContentRaw
}

// Message reads the envelope from a text frame into m. After an error m holds what came
// before it, so that the answer can carry the UUID.
func (d *Decoder) Message(frame []byte, m *Message) error {
	*m = Message{}
	err := d.whole(frame, func() error {
		return d.object("a message (an object with Namespace, Type and Obj)", func(key string) error {
			return d.messageField(m, key)
		})
	})
	if err == nil && m.Content == ContentRaw && m.Obj != nil {
		// The object came before the type that says what it is.
		err = d.Object(m)
	}
	return err
}

func (d *Decoder) messageField(m *Message, key string) error {
	switch key {
	case "Namespace":
		return d.word(&m.Namespace)
	case "Type":
		return d.word(&m.Type)
	case "UUID":
		return d.identifier(&m.UUID)
	case "Status":
		return d.integer(&m.Status)
	case "Obj":
		switch contentOf(m.Namespace, m.Type) {
		case ContentElement:
			m.Content = ContentElement
			return d.element(&m.Element)
		case ContentPartial:
			m.Content = ContentPartial
			return d.partial(&m.Partial)
		}
		raw, err := d.tokens.ReadValue()
		if err == nil && raw.Kind() != 'n' {
			end := d.tokens.InputOffset()
			m.Obj = d.data[end-int64(len(raw)) : end]
		}
		return err
	}
	return d.tokens.SkipValue()
}

// Object decodes m.Obj in place when the message's type says what it is. Frames that
// were not JSON (the protobuf envelope) go through it.
func (d *Decoder) Object(m *Message) (err error) {
	switch contentOf(m.Namespace, m.Type) {
	case ContentElement:
		m.Content = ContentElement
		m.Element, err = d.Element(m.Obj)
	case ContentPartial:
		m.Content = ContentPartial
		m.Partial, err = d.Partial(m.Obj)
	}
	return err
}

// word reads a string of a small vocabulary without keeping the frame alive.
func (d *Decoder) word(into *string) error {
	if d.tokens.PeekKind() != '"' {
		return d.wrong("a string")
	}
	s, err := d.string()
	if err != nil {
		return err
	}
	switch s {
	case "Graph":
		*into = "Graph"
	case "NodeAdded":
		*into = "NodeAdded"
	case "EdgeAdded":
		*into = "EdgeAdded"
	case "NodeUpdated":
		*into = "NodeUpdated"
	case "EdgeUpdated":
		*into = "EdgeUpdated"
	default:
		*into = strings.Clone(s)
	}
	return nil
}

// Valid checks that a text is one JSON value without duplicate keys, not nested too
// deeply, and returns the same errors as reading it would.
func (d *Decoder) Valid(data []byte) error {
	return d.whole(data, func() error {
		for {
			token, err := d.tokens.ReadToken()
			if err != nil {
				return err
			}
			switch kind := token.Kind(); kind {
			case '{', '[':
				if d.tokens.StackDepth() > d.maxDepth() {
					return d.fail("nested deeper than %d levels: flatten it", d.maxDepth())
				}
			case jsontext.KindInvalid:
				return d.fail("want a value")
			}
			if d.tokens.StackDepth() == 0 {
				return nil
			}
		}
	})
}
