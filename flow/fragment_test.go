package flow

import "testing"

// A flood of first fragments of one datagram makes no chain that has to be followed.
func TestFirstFragmentsAgain(t *testing.T) {
	var f fragments
	var seed seeds
	f.init(0)
	s := segment{flags: segFragment, fragmentID: 7}
	for range 3 * fewestDatagrams {
		f.place(&s, &seed)
	}
	linked := 0
	for _, head := range f.heads {
		for ; head != 0; head = f.places[head-1].next {
			linked++
		}
	}
	if linked != 1 || len(f.places) != fewestDatagrams {
		t.Errorf("%d in chains, %d in memory", linked, len(f.places))
	}
}
