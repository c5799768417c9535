// Package flow turns packets into flows. It decodes frames without allocating, counts them in a table of live flows, and
// gives reports of what began, what was counted and what ended, in the model and the encodings of Skydive's flows.
//
// A [Table] belongs to one goroutine, usually one per ring or file: every method of a Table is called by its owner only,
// and nothing in it locks. Flows handed to Options.Report and to the yield function of Scan are reused after the
// call; who keeps one clones it. Packets are read during Add only, so a source may reuse its memory afterwards. A table starts
// no goroutine and holds nothing but memory; Close reports what is live, and the table is not used afterwards.
//
// The package depends on nothing else of weft.
package flow
