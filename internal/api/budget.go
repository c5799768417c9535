package api

import (
	"fmt"
	"io"
	"sync"
)

// bodyFree is how much of each body counts nothing: small requests always get through.
const bodyFree = 64 << 10

// bodyBudget bounds the bytes of all bodies that are held at once.
type bodyBudget struct {
	limit int64

	mu   sync.Mutex
	held int64
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
	if !m.take(counted) {
		return 0, &busyError{fmt.Sprintf("large bodies of other requests, %d bytes at most, are being handled: try again, or raise the setting api.max-body", m.budget.limit)}
	}
	return n, err
}

// inUse is how many bytes are held by all requests.
func (b *bodyBudget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// take adds to what the request holds. One that is refused gives back all at once, so that others which grow at the same
// time are not refused because of it: one at least gets through.
func (m *meteredBody) take(n int64) bool {
	m.budget.mu.Lock()
	defer m.budget.mu.Unlock()
	if m.budget.held+n > m.budget.limit {
		m.budget.held -= m.taken
		m.taken = 0
		return false
	}
	m.budget.held += n
	m.taken += n
	return true
}

// release gives back what the request held.
func (m *meteredBody) release() {
	m.budget.mu.Lock()
	defer m.budget.mu.Unlock()
	m.budget.held -= m.taken
	m.taken = 0
}
