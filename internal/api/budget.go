package api

import (
	"fmt"
	"io"
	"sync/atomic"
)

// bodyFree is how much of each body counts nothing: small requests always get through.
const bodyFree = 64 << 10

// bodyBudget bounds the bytes of all bodies that are held at once.
type bodyBudget struct {
	limit int64
	held  atomic.Int64
}

// meteredBody counts what is read of a body until the request is over.
type meteredBody struct {
	io.ReadCloser
	budget *bodyBudget
	free   int64
	taken  int64
}

func (b *bodyBudget) meter(body io.ReadCloser) *meteredBody {
	return &meteredBody{ReadCloser: body, budget: b, free: bodyFree}
}

// Read reads on while the budget lasts.
func (m *meteredBody) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	counted := int64(n) - m.free
	m.free = max(0, m.free-int64(n))
	if counted <= 0 {
		return n, err
	}
	m.taken += counted
	if m.budget.held.Add(counted) > m.budget.limit {
		return 0, &busyError{fmt.Sprintf("large bodies of other requests, %d bytes at most, are being handled: try again, or raise the setting api.max-body", m.budget.limit)}
	}
	return n, err
}

// release gives back what the request held.
func (m *meteredBody) release() {
	m.budget.held.Add(-m.taken)
	m.taken = 0
}
