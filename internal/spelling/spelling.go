// Package spelling finds the word that a person probably meant, for errors about words that are not known: the
// expressions of captures, the terms and the flags of the command line. It keeps nothing between two calls, starts
// nothing, and any goroutine may call it.
package spelling

import "strings"

// Nearest gives the word that differs least from what was written, "" when none is near: at most a third of its letters
// may be wrong, missing, too many or swapped. Upper and lower case are the same. Of words that are equally near it is
// the first.
func Nearest(written string, words []string) string {
	written = strings.ToLower(written)
	best, least := "", max(1, (len(written)+1)/3)+1
	for _, word := range words {
		if d := distance(written, strings.ToLower(word), least); d < least {
			best, least = word, d
		}
	}
	return best
}

// maxLength bounds the words that are compared.
const maxLength = 64

// distance counts the letters to insert, delete, replace or swap with their neighbour; it may stop at the bound.
func distance(a, b string, bound int) int {
	if len(a) > maxLength || len(b) > maxLength || len(a)-len(b) >= bound || len(b)-len(a) >= bound {
		return bound
	}
	var rows [3][maxLength + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
