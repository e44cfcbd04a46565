package registry

// deleteSubject deletes all versions of a subject, and with permanent those that
// were deleted before, for good. It returns their numbers.
func (r *Registry) deleteSubject(subject string, permanent bool) ([]int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.writable(subject); err != nil {
		return nil, err
	}
	all, live := r.st.subjects[subject], r.st.live(subject)
	switch {
	case len(all) == 0:
		return nil, failure(40401, "Subject '%s' not found.", subject)
	case !permanent && len(live) == 0:
		return nil, failure(40404, "Subject '%s' was soft deleted. Set permanent=true to delete permanently", subject)
	case permanent && len(live) > 0:
		return nil, failure(40405, "Subject '%s' was not deleted first before being permanently deleted", subject)
	}
	gone := live
	if permanent {
		gone = all
	}
	numbers := make([]int, 0, len(gone))
	records := make([]record, 0, len(gone))
	for _, v := range gone {
		numbers = append(numbers, v.Version)
		records = append(records, r.deletion(subject, v, permanent))
	}
	return numbers, r.commit(records...)
}

// deleteVersion deletes one version, or with permanent one that was deleted
// before, for good. It returns its number.
func (r *Registry) deleteVersion(subject, name string, permanent bool) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.writable(subject); err != nil {
		return 0, err
	}
	v, err := r.version(subject, name, true)
	if err != nil {
		return 0, err
	}
	switch {
	case !permanent && v.Deleted:
		return 0, failure(40406, "Subject '%s' Version %d was soft deleted. Set permanent=true to delete permanently", subject, v.Version)
	case permanent && !v.Deleted:
		return 0, failure(40407, "Subject '%s' Version %d was not deleted first before being permanently deleted", subject, v.Version)
	}
	return v.Version, r.commit(r.deletion(subject, v, permanent))
}

func (r *Registry) deletion(subject string, v version, permanent bool) record {
	if permanent {
		return record{Kind: kindGone, Subject: subject, Version: v.Version}
	}
	return record{Kind: kindSchema, Subject: subject, Version: v.Version, ID: v.ID, Schema: r.st.schemas[v.ID].text, Deleted: true}
}
